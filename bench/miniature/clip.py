"""CLIP as the project uses it: images and texts to unit vectors. By default the small one of the pack."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.editors.loading import first_line, quiet
from bench.errors import UserError

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
            name: a folder, read without network; or ``model:pretrained`` as open_clip names them, for example
                ``ViT-B-32:laion2b_s34b_b79k``, fetched where there is a network.
            device: where to run.

        Raises:
            UserError: no such model, or no safetensors weights of it here.
        """
        folder = Path(name).expanduser()
        if folder.is_dir():
            return cls(*_of_folder(folder), device)
        model, colon, pretrained = str(name).partition(":")
        if not colon or not model or not pretrained:
            raise UserError(
                f"There is no CLIP {str(name)!r}: no such folder, and not model:pretrained.",
                "Give the folder of an open_clip model, or for example ViT-B-32:laion2b_s34b_b79k.",
            )
        return cls(*_of_name(model, pretrained), device)

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


def _of_folder(folder: Path) -> tuple[Any, Any]:
    import open_clip

    remedy = "Give a folder with open_clip_config.json, its tokenizer and open_clip_model.safetensors."
    if not (folder / "open_clip_config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder} is no open_clip folder with safetensors weights.", remedy)
    try:
        with quiet():
            name = f"local-dir:{folder}"
            return open_clip.create_model(name, require_pretrained=True), open_clip.get_tokenizer(name)
    except Exception as error:  # whatever a foreign folder can do wrong
        raise UserError(f"The CLIP in {folder} cannot be loaded: {first_line(error)}", remedy) from error


def _of_name(model: str, pretrained: str) -> tuple[Any, Any]:
    import open_clip
    from open_clip.pretrained import download_pretrained

    known = open_clip.list_pretrained()
    if (model, pretrained) not in known:
        tags = [tag for name, tag in known if name == model]
        have = f"It has {', '.join(tags)}." if tags else "open_clip.list_pretrained() names those there are."
        raise UserError(f"open_clip has no CLIP {model}:{pretrained}.", have)
    try:
        with quiet():
            weights = download_pretrained(open_clip.get_pretrained_cfg(model, pretrained))
    except Exception as error:  # of many kinds: no network, no entry in the local cache, no space
        remedy = "Load it once on a connected machine, or use the CLIP of the miniature pack."
        raise UserError(f"The weights of {model}:{pretrained} are not here and cannot be fetched.", remedy) from error
    if not str(weights).endswith(".safetensors"):
        raise UserError(f"The weights of {model}:{pretrained} are no safetensors.", "Name one whose weights are.")
    try:
        with quiet():
            return open_clip.create_model(model, pretrained=pretrained), open_clip.get_tokenizer(model)
    except Exception as error:  # a broken download, or a library it needs is missing
        message = f"The CLIP {model}:{pretrained} cannot be loaded: {first_line(error)}"
        raise UserError(message, "Fetch it anew.") from error
