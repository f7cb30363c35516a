"""CLIP as the project uses it: images and texts to unit vectors. By default the small one of the pack."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.assets import MINIATURE as MINIATURE
from bench.editors.loading import first_line, quiet
from bench.errors import UserError
from bench.miniature import PACK

_BATCH = 256


class MiniatureClip:
    """An open_clip model in float32.

    Args:
        model: an open_clip model with its weights.
        tokenise: its tokenizer.
        device: where to run.
    """

    def __init__(self, model: Any, tokenise: Any, device: str | torch.device = "cpu") -> None:
        self.model = model.float().to(device).eval().requires_grad_(False)
        self.tokenise, self.device = tokenise, torch.device(device)
        side = model.visual.image_size
        self.size: tuple[int, int] = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        shown = model.visual.preprocess_cfg
        self._mean = torch.tensor(shown["mean"], device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(shown["std"], device=self.device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, name: str | os.PathLike[str], device: str | torch.device = "cpu") -> MiniatureClip:
        """The model of a folder (``open_clip_config.json``, tokenizer, safetensors), or of open_clip.

        Args:
            name: ``miniature``; a folder, read without network; or ``MODEL/PRETRAINED`` as open_clip names them, for
                example ``ViT-B-32/laion2b_s34b_b79k``, fetched where there is a network. A colon may stand for the
                stroke.
            device: where to run.

        Raises:
            UserError: no such model, or no safetensors weights of it here.
        """
        if name == MINIATURE:
            return cls(*_of_folder(PACK / "clip"), device)
        folder = Path(name).expanduser()
        if folder.is_dir():
            return cls(*_of_folder(folder), device)
        return cls(*_of_name(*_parts(str(name))), device)

    @torch.inference_mode()
    def image_embedding(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) floating in [0, 1] to (N, D) float32 unit vectors, on the CPU."""
        out = [torch.empty(0, self._width())]
        for part in images.split(_BATCH):
            part = part.to(self.device, torch.float32)
            if tuple(part.shape[2:]) != self.size:
                part = F.interpolate(part, self.size, mode="bicubic", antialias=True).clamp(0, 1)
            out.append(self.model.encode_image((part - self._mean) / self._std, normalize=True).float().cpu())
        return torch.cat(out)

    @torch.inference_mode()
    def text_embedding(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 unit vectors of ``texts``, on the CPU; what is too long is cut."""
        out = [torch.empty(0, self._width())]
        for at in range(0, len(texts), _BATCH):
            text = self.tokenise(list(texts[at : at + _BATCH])).to(self.device)
            out.append(self.model.encode_text(text, normalize=True).float().cpu())
        return torch.cat(out)

    def _width(self) -> int:
        return int(self.model.visual.output_dim)


_FOLDER = "Give a folder with open_clip_config.json, its tokenizer and open_clip_model.safetensors."


def check_folder(folder: Path) -> None:
    """Whether ``folder`` can be an open_clip model with safetensors weights, as far as names of files say.

    Raises:
        UserError: it cannot.
    """
    if not (folder / "open_clip_config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder} is no open_clip folder with safetensors weights.", _FOLDER)


def _of_folder(folder: Path) -> tuple[Any, Any]:
    import open_clip

    check_folder(folder)
    try:
        with quiet():
            name = f"local-dir:{folder}"
            return open_clip.create_model(name, require_pretrained=True), open_clip.get_tokenizer(name)
    except Exception as error:  # whatever a foreign folder can do wrong
        raise UserError(f"The CLIP in {folder} cannot be loaded: {first_line(error)}", _FOLDER) from error


def _parts(name: str) -> tuple[str, str]:
    """Model and weights of a name as open_clip has it.

    Raises:
        UserError: it has another form, or open_clip knows none of that name.
    """
    import open_clip

    model, _, pretrained = name.replace(":", "/").rpartition("/")
    if not model or not pretrained:
        raise UserError(
            f"There is no CLIP {name!r}: no such folder, and not MODEL/PRETRAINED.",
            "Give the folder of an open_clip model, or for example ViT-B-32/laion2b_s34b_b79k.",
        )
    known = open_clip.list_pretrained()
    if (model, pretrained) not in known:
        tags = [tag for name, tag in known if name == model]
        near = difflib.get_close_matches(model, {name for name, _ in known}, 3)
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        have = f"It has {', '.join(tags)}." if tags else f"{hint}open_clip.list_pretrained() names those there are."
        raise UserError(f"open_clip has no CLIP {model}/{pretrained}.", have)
    return model, pretrained


def hub_of(name: str) -> tuple[str, tuple[str, ...]]:
    """Where the hub has the weights of the CLIP ``name``: ``OWNER/NAME``, and the files that hold them.

    Raises:
        UserError: no such CLIP, or one whose weights the hub does not have as safetensors.
    """
    import open_clip

    model, pretrained = _parts(name)
    repo, _, file = str(open_clip.get_pretrained_cfg(model, pretrained).get("hf_hub", "")).rpartition("/")
    if not repo:
        raise UserError(f"The hub has no weights of {model}/{pretrained}.", "Name a CLIP that it has, or a folder.")
    stem = file.rpartition(".")[0]
    return repo, (f"{stem}.safetensors",) if stem else ("open_clip_model.safetensors",)


def _of_name(model: str, pretrained: str) -> tuple[Any, Any]:
    import open_clip
    from open_clip.pretrained import download_pretrained

    from bench import public_weights

    for need in public_weights.clip_needs(f"{model}/{pretrained}"):
        public_weights.fetch(need)
    try:
        with quiet():
            weights = download_pretrained(open_clip.get_pretrained_cfg(model, pretrained))
    except Exception as error:  # of many kinds: no network, no entry in the local cache, no space
        repo = hub_of(f"{model}/{pretrained}")[0]
        remedy = f"Run `hf download {repo}` on a connected machine, or use the CLIP of the miniature pack."
        raise UserError(f"The weights of {model}/{pretrained} are not here and cannot be fetched.", remedy) from error
    if not str(weights).endswith(".safetensors"):
        raise UserError(f"The weights of {model}/{pretrained} are no safetensors.", "Name one whose weights are.")
    try:
        with quiet():
            return open_clip.create_model(model, pretrained=pretrained), open_clip.get_tokenizer(model)
    except Exception as error:  # a broken download, or a library it needs is missing
        message = f"The CLIP {model}/{pretrained} cannot be loaded: {first_line(error)}"
        raise UserError(message, "Fetch it anew.") from error
