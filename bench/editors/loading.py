"""Finding and loading an InstructPix2Pix pipeline: safetensors and JSON only, and nothing in it is executed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import assets, fetching, registry
from bench.editors.settings import defaults
from bench.errors import UserError
from bench.guests import questions
from bench.paths import user_path

PATIENCE = 10.0
"""Seconds to wait for the hub's answer to whether it has an editor."""
PIPELINE = "StableDiffusionInstructPix2PixPipeline"
_WEIGHTS = ("unet", "vae", "text_encoder")
_PARTS = (*_WEIGHTS, "tokenizer", "scheduler")
_OPTIONAL = ("safety_checker", "feature_extractor", "image_encoder")
_LIBRARIES = ("diffusers", "transformers")
_WANTED = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*.json",
    "tokenizer/*.txt",
    *(f"{part}/config.json" for part in _WEIGHTS),
    *(f"{part}/*model{end}" for part in _WEIGHTS for end in (".safetensors", "-*-of-*.safetensors", ".safetensors.*")),
)
"""Files of a pipeline that are read, as patterns; with others it may carry we have nothing to do."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While a library loads a model: no progress bars, no log lines below an error, no warnings."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = logging.root.manager.disable
    shown = [m for m in (diffusers_logging, transformers_logging) if m.is_progress_bar_enabled()]
    # Some libraries log through functions that give the root logger a handler where it has none; one of
    # our own, taken away again, leaves the root logger as it was.
    mute = logging.NullHandler()
    logging.root.addHandler(mute)
    logging.disable(max(before, logging.WARNING))
    for module in shown:
        module.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for module in shown:
            module.enable_progress_bar()
        logging.disable(before)
        logging.root.removeHandler(mute)


def first_line(error: Exception) -> str:
    """What ``error`` says, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def find(editor: str) -> Path:
    """The folder of ``editor``: a plugin's, a folder of the user, or one fetched from the hub.

    Raises:
        UserError: no such editor, or no weights here and no way to fetch them.
    """
    info = registry.current().get("editor", editor)
    if info is not None:
        return Path(questions.editor(info)["folder"])
    return _named(editor) or _fetched(editor)


def located(editor: str) -> Path | None:
    """The folder of ``editor``, a folder of the user or complete in the hub's cache; None where it is not here.

    Raises:
        UserError: a name that is neither a folder nor a hub's.
    """
    return _named(editor) or _cached(editor)


def _named(editor: str) -> Path | None:
    """The folder that ``editor`` is the path of, or None where it is the name of a hub.

    Raises:
        UserError: it is neither.
    """
    folder = user_path(editor)
    if folder.exists():
        return folder
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", editor, re.ASCII) or editor.startswith("."):
        raise UserError(
            f"There is no editor {editor!r}: no such folder, and no hub name.",
            "Use --editor miniature, a diffusers folder, or a hub name such as timbrooks/instruct-pix2pix.",
        )
    return None


def check_if_folder(editor: str) -> None:
    """Whether ``editor``, where it is a folder, is a pipeline: its content is hashed, and it may be a whole disk.

    Raises:
        UserError: it is a folder of something else, or a path that cannot be one.
    """
    if registry.current().get("editor", editor) is None and user_path(editor).is_dir():
        check(user_path(editor))


def check_available(editor: str) -> None:
    """Whether ``editor`` can be run: it is here and of the right kind, or the hub has it. Nothing is fetched.

    Raises:
        UserError: it cannot.
    """
    info = registry.current().get("editor", editor)
    if info is not None:
        assets.check(info)
        return
    folder = _named(editor) or _cached(editor)
    if folder is not None:
        check(folder)
        check_size(folder, defaults(editor).size)
        return
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(editor, timeout=PATIENCE)
    except Exception as error:  # of many kinds: no network, no such name, no right to read it
        raise _absent(editor) from error


def check_size(folder: Path, size: int | None) -> None:
    """Whether the editor in ``folder`` can work on images of ``size`` × ``size`` pixels; None: on its own size.

    Raises:
        UserError: ``size`` is no multiple of what its autoencoder shrinks images by.
    """
    try:
        config = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        factor = 2 ** (len(config["block_out_channels"]) - 1)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        remedy = "Use --editor miniature, or a folder that diffusers saved."
        raise UserError(f"{folder} has no readable vae/config.json.", remedy) from None
    if size is not None and size % factor:
        raise UserError(
            f"The editor in {folder} cannot work on {size} pixels: they are no multiple of {factor}.",
            "Use another editor, or --editor miniature.",
        )


FULL, FULL_PARAMETERS = "timbrooks/instruct-pix2pix", 1_066_246_827
"""The full-size InstructPix2Pix: denoiser, autoencoder and text encoder, as `tests/benchmarks/full_editor.py` counts
them."""


def size_of(name: str, folder: Path | None) -> int | None:
    """Bytes of the files of the editor ``name`` that are read, in ``folder`` or on the hub; None where nobody says."""
    if folder is not None:
        return sum(file.stat().st_size for file in _read(folder))
    from fnmatch import fnmatch

    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name, files_metadata=True, timeout=PATIENCE)
        sizes = [s.size for s in info.siblings or () if any(fnmatch(s.rfilename, pattern) for pattern in _WANTED)]
    except Exception:  # of many kinds: no network, no such name
        return 4 * FULL_PARAMETERS if name == FULL else None
    return sum(size or 0 for size in sizes)


def _read(folder: Path) -> set[Path]:
    """The files in ``folder`` that a pipeline is read from."""
    return {file for pattern in _WANTED for file in folder.glob(pattern) if file.is_file()}


def _cached(name: str) -> Path | None:
    """The folder of the hub's editor ``name`` where it is on this machine, complete."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_WANTED), local_files_only=True))
    except Exception:  # of many kinds: whatever it is, it is not here
        return None
    return folder if (folder / "model_index.json").is_file() else None


def _absent(name: str) -> UserError:
    return UserError(
        f"The editor {name!r} is not on this machine and cannot be fetched.",
        f"Run `hf download {name}` on a connected machine and give its folder, or use --editor miniature.",
    )


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    remedy = f"Run `hf download {name}` on a connected machine and give its folder, or use --editor miniature."
    fetching.announce(f"editor {name}", size_of(name, None), name)
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_WANTED)))
    except RepositoryNotFoundError as error:
        raise UserError(f"The hub has no editor {name!r} that can be read from here.", remedy) from error
    except Exception as error:  # of many kinds: no network, no entry in the local cache, no space, bad name
        raise _absent(name) from error
    if not (folder / "model_index.json").is_file():
        raise UserError(f"The editor {name!r} is not complete on this machine.", remedy)
    return folder


def check(folder: Path) -> None:
    """That ``folder`` is a pipeline of the kind we run, with safetensors weights and no code of its own.

    Raises:
        UserError: it is not.
    """
    remedy = f"Use --editor miniature, or a folder that {PIPELINE} saved with safetensors weights."
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        kind = index["_class_name"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{folder} is no diffusers pipeline: it has no readable model_index.json.", remedy) from error
    if kind != PIPELINE:
        raise UserError(f"{folder} holds a {kind}, not a {PIPELINE}.", remedy)
    for part, named in index.items():
        if part.startswith("_") or not isinstance(named, list) or part in _OPTIONAL:
            continue
        # A library that is neither of these would be a file of the folder, run while loading.
        if part not in _PARTS or len(named) != 2 or named[0] not in _LIBRARIES:
            raise UserError(f"{folder} has a part that is not run: {part} = {named}.", remedy)
    for part in _PARTS:
        if part not in index or not (folder / part).is_dir():
            raise UserError(f"{folder} has no {part}.", remedy)
        if part in _WEIGHTS and not any((folder / part).glob("*.safetensors")):
            raise UserError(f"{folder} has no safetensors weights of its {part}.", remedy)


def load(folder: Path) -> Any:
    """The pipeline in ``folder``, on the CPU, in the precision diffusers gives it.

    Raises:
        UserError: it cannot be loaded.
    """
    check(folder)
    from diffusers import StableDiffusionInstructPix2PixPipeline

    try:
        with quiet():
            return StableDiffusionInstructPix2PixPipeline.from_pretrained(
                folder,
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
                use_safetensors=True,
                local_files_only=True,
            )
    except Exception as error:  # whatever a foreign folder can do wrong
        message = f"The editor in {folder} cannot be loaded: {first_line(error)}"
        raise UserError(message, "Fetch it anew, or use --editor miniature.") from error


def digest(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of the files of a pipeline that are read."""
    total = hashlib.sha256()
    for file in sorted(_read(folder)):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()
