"""What public weights a model needs, where each lies, whether it is here, and how it is fetched.

A stage's process has no network. So weights are on this machine before anything runs: `fetch` puts them where the
libraries look for them, under ``HF_HOME`` and ``TORCH_HOME``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bench import assets, registry
from bench.checkpoints import weights as names
from bench.checkpoints.importers.catalogue import PACKAGES
from bench.checkpoints.model_names import ModelName, parse, with_weights
from bench.errors import UserError
from bench.paths import user_path
from bench.records import Cell

PATIENCE = 10.0
"""Seconds to wait for the hub's answer."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights of timm's models on the hub, first choice first."""
CONFIG = "config.json"


@dataclass(frozen=True)
class Need:
    """One file, or folder, that something needs.

    Args:
        name: what it is for.
        kind: ``file`` of the user; ``hub``: of the Hugging Face hub; ``url``: of the cache of torch; ``package``.
        place: the path, ``OWNER/NAME`` of the hub, the address, or the package.
        files: of the hub: alternatives, first choice first; at the cache of torch: the file's name.
        here: whether it is on this machine.
        bytes: of what is fetched, where that is known without a network.
        remedy: how to get it.
    """

    name: str
    kind: Literal["file", "hub", "url", "package"]
    place: str
    here: bool
    files: tuple[str, ...] = ()
    bytes: int | None = None
    remedy: str = ""


def needs(model: str, weights: str | None = None) -> list[Need]:
    """What the model called ``model`` starts from; nothing where its weights come with the project, or are random.

    Args:
        model: as ``--model`` takes it.
        weights: as ``--weights`` takes it; None: what the name says.

    Raises:
        UserError: an unknown name, a file that is not there, or a model without public weights.
    """
    text = names.located(model if weights is None else with_weights(model, weights))
    parsed = parse(text)
    if parsed.start == "random":
        return []
    if parsed.weights:
        return _of_weights(text, parsed)
    info = registry.current().get("model", parsed.base)
    if info is not None:  # the pack has them
        return []
    if parsed.has_decoder:
        return [_of_encoder(parsed.source, parsed.name)]
    if parsed.source == "hf-hub":
        return _of_hub(text, parsed.name)
    if parsed.source == "torchvision":
        return [_of_torchvision(text, parsed.name, "DEFAULT")]
    if parsed.is_factory:
        raise UserError(f"the factory '{parsed.name}' has no public weights.", f"Write '{model}?start=random'.")
    return [_of_timm(parsed.name)]


def clip_needs(clip: str) -> list[Need]:
    """What the CLIP called ``clip`` needs: nothing for ``miniature`` and for a folder.

    Raises:
        UserError: no such CLIP.
    """
    if clip == assets.MINIATURE or user_path(clip).is_dir():
        return []
    from bench.miniature.clip import hub_of

    repo, files = hub_of(clip)
    remedy = f"Run `hf download {repo}` on a connected machine, or use the CLIP of the miniature pack."
    return [Need(f"CLIP {clip}", "hub", repo, _has_any(repo, files), files, remedy=remedy)]


def clips_of(cell: Cell) -> list[str]:
    """The CLIPs by name that lock, key and attack of ``cell`` run."""
    plugins, refs = registry.current(), {"lock": cell.lock, "key": cell.key, "attack": cell.attack}
    infos = {kind: plugins.get(kind, ref.name) for kind, ref in refs.items()}
    return [
        str(refs[kind].params[assets.CLIP])
        for kind, info in infos.items()
        if info is not None and assets.CLIP in info.assets and assets.CLIP in info.params
    ]


def place_of(need: Need) -> Path | None:
    """Where the file of ``need`` lies on this machine; None where it is not here, or lies in a package."""
    if need.kind == "url":
        file = _torch_cache(need.files[0])
        return file if file.is_file() else None
    if need.kind == "file":
        return Path(need.place) if need.here else None
    if need.kind == "package":
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(need.place, file) for file in need.files]
    return next((Path(path) for path in found if isinstance(path, str)), None)


def fetch(need: Need) -> None:
    """Put what is needed on this machine, where the libraries look for it. What is here is left.

    Raises:
        UserError: it cannot be fetched, and the message says how to get it.
    """
    if need.here:
        return
    if need.kind not in ("hub", "url"):
        raise UserError(f"{need.name} needs {need.place}, which is not on this machine.", need.remedy)
    try:
        if need.kind == "url":
            from torch.hub import download_url_to_file

            target = _torch_cache(need.files[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            download_url_to_file(need.place, str(target), hash_prefix=_hash_in(need.files[0]), progress=False)
        else:
            _download(need.place, need.files)
    except Exception as error:  # of many kinds: no network, no such name, no room
        raise UserError(
            f"{need.name} needs {need.place}, which cannot be fetched ({type(error).__name__}).", need.remedy
        ) from None


def size_of(need: Need) -> int | None:
    """Bytes that fetching ``need`` takes; asks the hub where that is not known; None where nobody says."""
    if need.bytes is not None or need.kind != "hub":
        return need.bytes
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(need.place, files_metadata=True, timeout=PATIENCE)
        sizes = {s.rfilename: s.size for s in info.siblings or ()}
    except Exception:  # of many kinds: no network, no such name
        return None
    return next((sizes[file] for file in need.files if sizes.get(file) is not None), None)


@cache
def check_clip(clip: str) -> None:
    """Whether the weights of the CLIP ``clip`` are on this machine, or the hub has them.

    Raises:
        UserError: no such CLIP, or they are not here and cannot be fetched.
    """
    for need in clip_needs(clip):
        _check_hub(need, f"CLIP {clip}", "the CLIP of the miniature pack: clip=miniature")


@cache
def check_available(name: str) -> None:
    """Whether the weights of the timm classifier ``name`` are on this machine, or the hub has them.

    Raises:
        UserError: there are none, or they are not here and cannot be fetched.
    """
    need = _of_timm(name)
    if need.kind == "hub":
        _check_hub(need, name, "--model vit")


def check_encoder(decoder: str, name: str) -> None:
    """Whether the weights of the encoder ``name`` under ``decoder`` are on this machine, or the hub has them.

    Raises:
        UserError: there are none, or they are not here and cannot be fetched.
    """
    if registry.current().get("model", name) is not None:  # the pack has them
        return
    remedy = f"--model {decoder}:cnn, or --model '{decoder}:{name}?start=random'"
    _check_hub(_of_encoder(decoder, name), f"{decoder}:{name}", remedy)


def _of_weights(text: str, parsed: ModelName) -> list[Need]:
    """The needs of a model whose name holds its weights."""
    package = PACKAGES.get(parsed.weights)
    if package is not None:
        here = package.find() is not None
        return [Need(f"model {text}", "package", package.name, here, (), package.bytes, package.remedy)]
    if names.is_file(parsed.weights):
        path = Path(parsed.weights)
        known = path.stat().st_size if path.is_file() else None
        return [Need(f"model {text}", "file", str(path), known is not None, (), known, "Put the file back.")]
    if parsed.weights.startswith(names.HUB):
        return _of_hub(text, parsed.weights.removeprefix(names.HUB))
    return [_of_torchvision(text, parsed.name, parsed.weights)]


def _of_hub(text: str, repo: str) -> list[Need]:
    remedy = f"On a connected machine run: hf download {repo}"
    return [
        Need(f"model {text}", "hub", repo, _has_any(repo, files), files, remedy=remedy) for files in ((CONFIG,), FILES)
    ]


def _of_timm(name: str) -> Need:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"the model '{name}' has no public weights.", "Use another --model, such as vit or cnn.")
    return _of_config(f"model {name}", config, f"On a connected machine run: hf download {config.hf_hub_id}")


def _of_config(name: str, config: Any, remedy: str) -> Need:
    if config.file:
        return Need(name, "file", str(config.file), Path(config.file).is_file(), remedy="Put the file back.")
    if not config.hf_hub_id:
        file = config.url.rpartition("/")[2]
        return Need(name, "url", config.url, _torch_cache(file).is_file(), (file,), remedy=_by_hand(config.url))
    own = (config.hf_hub_filename,) if config.hf_hub_filename else FILES
    return Need(name, "hub", config.hf_hub_id, _has_any(config.hf_hub_id, own), own, remedy=remedy)


def _of_encoder(decoder: str, name: str) -> Need:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    shown, place = f"model {decoder}:{name}", None
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        place = config.hf_hub_id if config is not None and config.has_weights else None
    else:
        known = encoders[name]["pretrained_settings"]
        place = known["imagenet"]["repo_id"] if "imagenet" in known else None
    if not place:
        remedy = f"Use --model {decoder}:cnn, or --model '{decoder}:{name}?start=random'."
        raise UserError(f"the model '{decoder}:{name}' has no public weights.", remedy)
    remedy = f"On a connected machine run: hf download {place}"
    return Need(shown, "hub", place, _has_any(place, FILES), FILES, remedy=remedy)


def _of_torchvision(text: str, name: str, tag: str) -> Need:
    from bench.checkpoints.networks import torchvision_entry

    entry = torchvision_entry(name, tag)
    file = entry.url.rpartition("/")[2]
    size = entry.meta.get("_file_size")  # 2^20 bytes
    known = round(size * 2**20) if size else None
    return Need(f"model {text}", "url", entry.url, _torch_cache(file).is_file(), (file,), known, _by_hand(entry.url))


def _by_hand(url: str) -> str:
    return f"Put {url} into {_torch_cache('').as_posix()}."


def _torch_cache(file: str) -> Path:
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints" / file


def _hash_in(file: str) -> str | None:
    """The first digits of its SHA-256 that torch's files have in their name."""
    digits = Path(file).stem.rpartition("-")[2]
    return digits if len(digits) == 8 and all(c in "0123456789abcdef" for c in digits) else None


def _has_any(repo: str, files: Sequence[str]) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repo, file), str) for file in files)


def _download(repo: str, files: Sequence[str]) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for i, file in enumerate(files):
        try:
            hf_hub_download(repo, file)
            return
        except EntryNotFoundError:
            if i == len(files) - 1:
                raise


def _check_hub(need: Need, name: str, remedy: str) -> None:
    """Whether what is needed is here or on the hub.

    Raises:
        UserError: it is not.
    """
    from huggingface_hub import HfApi

    if need.here:
        return
    try:
        HfApi().model_info(need.place, timeout=PATIENCE)
    except Exception as error:  # of many kinds: no network, no such name
        raise UserError(
            f"the public weights of '{name}' are not on this machine and cannot be fetched ({type(error).__name__}).",
            f"On a connected machine run: hf download {need.place} — or use {remedy}.",
        ) from None
