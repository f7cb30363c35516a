"""What public weights a model needs, where each lies, whether it is here, and how it is fetched.

A plugin's process has no network. So weights are on this machine before it starts: `fetch` puts them where the
libraries look for them, under ``HF_HOME`` and ``TORCH_HOME``. `check` fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.request import Request, urlopen

from bench import assets, fetching, registry
from bench.checkpoints import weights as names
from bench.checkpoints.importers.catalogue import PACKAGES
from bench.checkpoints.model_names import ModelName, parse, with_weights
from bench.errors import UserError
from bench.need import Need
from bench.paths import user_path
from bench.records import Cell

PATIENCE = 10.0
"""Seconds to wait for the hub's answer."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights of timm's models on the hub, first choice first."""
Way = Literal["hub", "url", "package", "file"]


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
    info = registry.current().get("model", parsed.base)
    if info is not None and not parsed.weights:  # the pack has them
        return []
    from bench import models

    is_of_hub = parsed.source == "hf-hub"
    if not is_of_hub:  # of one of the hub, the configuration says whether it is known: it is a need itself
        models.check(text)
    if parsed.start == "random":
        return _of_configuration(text, parsed.name) if is_of_hub else []
    if parsed.weights:
        return [*(_of_configuration(text, parsed.name) if is_of_hub else ()), *_of_weights(text, parsed)]
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
    return [Need("clip", clip, "hub", repo, _has_any(repo, files), files, remedy=remedy)]


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
    if need.way == "url":
        file = _torch_cache(need.files[0])
        return file if file.is_file() else None
    if need.way == "file":
        return Path(need.place) if need.here else None
    if need.way != "hub":
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(need.place, file) for file in need.files]
    return next((Path(path) for path in found if isinstance(path, str)), None)


def fetch(need: Need) -> None:
    """Put what is needed on this machine, where the libraries look for it, and say so. What is here is left.

    Raises:
        UserError: it cannot be fetched, and the message says how to get it.
    """
    if need.here or place_of(need) is not None:
        return
    if not need.fetched:
        raise _absent(need)
    fetching.announce(_words(need), size_of(need), need.place)
    try:
        if need.way == "url":
            from torch.hub import download_url_to_file

            target = _torch_cache(need.files[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            download_url_to_file(need.place, str(target), hash_prefix=_hash_in(need.files[0]), progress=False)
        else:
            _download(need.place, need.files)
    except Exception as error:  # of many kinds: no network, no such name, no room
        raise UserError(
            f"{_words(need)} needs {need.place}, which cannot be fetched ({type(error).__name__}).", need.remedy
        ) from None


def fetch_configuration(model: str) -> None:
    """Where ``model`` is one of the hub: put on this machine what says which architecture it is.

    Raises:
        UserError: as `fetch`.
    """
    parsed = parse(model)
    if parsed.source == "hf-hub":
        for need in _of_configuration(model, parsed.name):
            fetch(need)


def check(needed: Iterable[Need], remedy: str = "") -> None:
    """Whether each of ``needed`` is on this machine, or can be asked for where it is published. Nothing is fetched.

    Args:
        needed: public weights.
        remedy: what else to use.

    Raises:
        UserError: one is neither.
    """
    for need in needed:
        if need.here:
            continue
        if not need.fetched:
            raise _absent(need)
        problem = _asked(need.way, need.place)
        if problem:
            instead = f" — or use {remedy}." if remedy else ""
            raise UserError(
                f"the public weights of '{need.name}' are not on this machine and cannot be fetched ({problem}).",
                f"{need.remedy.removesuffix('.') if instead else need.remedy}{instead}",
            )


@cache
def _asked(way: str, place: str) -> str:
    """The name of the error where a place of publication does not answer; empty where it has what is wanted."""
    try:
        if way == "url":
            with urlopen(Request(place, method="HEAD"), timeout=PATIENCE):  # noqa: S310 - https, of a library's own list
                return ""
        from huggingface_hub import HfApi

        HfApi().model_info(place, timeout=PATIENCE)
    except Exception as error:  # of many kinds: no network, no such name
        return type(error).__name__
    return ""


def _absent(need: Need) -> UserError:
    return UserError(f"{_words(need)} needs {need.place}, which is not on this machine.", need.remedy)


def _words(need: Need) -> str:
    return f"{'CLIP' if need.kind == 'clip' else 'model'} {need.name}"


@cache
def size_of(need: Need) -> int | None:
    """Bytes that ``need`` takes; asks the hub where that is not known; None where nobody says."""
    place = place_of(need)
    if place is not None or need.size is not None:
        return need.size if place is None else place.stat().st_size
    if need.way not in ("hub", "url"):
        return None
    try:
        if need.way == "url":
            with urlopen(Request(need.place, method="HEAD"), timeout=PATIENCE) as answer:  # noqa: S310 - as above
                return int(answer.headers["Content-Length"])
        from huggingface_hub import HfApi

        info = HfApi().model_info(need.place, files_metadata=True, timeout=PATIENCE)
        sizes = {s.rfilename: s.size for s in info.siblings or ()}
    except Exception:  # of many kinds: no network, no such name
        return None
    return next((sizes[file] for file in need.files if sizes.get(file) is not None), None)


def _of_weights(text: str, parsed: ModelName) -> list[Need]:
    """The needs of a model whose name holds its weights."""
    package = PACKAGES.get(parsed.weights)
    if package is not None:
        here = package.find() is not None
        return [
            _need(
                text, "package", package.name, here, size=package.bytes, licence=package.license, remedy=package.remedy
            )
        ]
    if names.is_file(parsed.weights):
        path = Path(parsed.weights)
        known = path.stat().st_size if path.is_file() else None
        return [_need(text, "file", str(path), known is not None, size=known, remedy="Put the file back.")]
    if parsed.weights.startswith(names.HUB):
        return _of_hub(text, parsed.weights.removeprefix(names.HUB))
    return [_of_torchvision(text, parsed.name, parsed.weights)]


def _of_hub(text: str, repo: str) -> list[Need]:
    return [*_of_configuration(text, repo), _need(text, "hub", repo, _has_any(repo, FILES), FILES, remedy=_hf(repo))]


def _of_configuration(text: str, repo: str) -> list[Need]:
    """What says of a model of the hub which architecture it is, and which images it takes."""
    return [_need(text, "hub", repo, _has_any(repo, (names.CONFIG,)), (names.CONFIG,), remedy=_hf(repo))]


def _hf(repo: str) -> str:
    return f"On a connected machine run: hf download {repo}"


def _need(name: str, way: Way, place: str, here: bool, files: tuple[str, ...] = (), **more: Any) -> Need:
    return Need("weights", name, way, place, here, files, **more)


def _of_timm(name: str) -> Need:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"the model '{name}' has no public weights.", "Use another --model, such as vit or cnn.")
    return _of_config(name, config, _hf(str(config.hf_hub_id)))


def _of_config(name: str, config: Any, remedy: str) -> Need:
    if config.file:
        return _need(name, "file", str(config.file), Path(config.file).is_file(), remedy="Put the file back.")
    if not config.hf_hub_id:
        file = config.url.rpartition("/")[2]
        return _need(name, "url", config.url, _torch_cache(file).is_file(), (file,), remedy=_by_hand(config.url))
    own = (config.hf_hub_filename,) if config.hf_hub_filename else FILES
    return _need(name, "hub", config.hf_hub_id, _has_any(config.hf_hub_id, own), own, remedy=remedy)


def _of_encoder(decoder: str, name: str) -> Need:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    place = None
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        place = config.hf_hub_id if config is not None and config.has_weights else None
    else:
        known = encoders[name]["pretrained_settings"]
        place = known["imagenet"]["repo_id"] if "imagenet" in known else None
    if not place:
        remedy = f"Use --model {decoder}:cnn, or --model '{decoder}:{name}?start=random'."
        raise UserError(f"the model '{decoder}:{name}' has no public weights.", remedy)
    return _need(f"{decoder}:{name}", "hub", place, _has_any(place, FILES), FILES, remedy=_hf(place))


def _of_torchvision(text: str, name: str, tag: str) -> Need:
    from bench.checkpoints.networks import torchvision_entry

    entry = torchvision_entry(name, tag)
    file = entry.url.rpartition("/")[2]
    size = entry.meta.get("_file_size")  # 2^20 bytes
    known = round(size * 2**20) if size else None
    here = _torch_cache(file).is_file()
    return _need(text, "url", entry.url, here, (file,), size=known, remedy=_by_hand(entry.url))


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
