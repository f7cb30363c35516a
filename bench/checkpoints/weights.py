"""Which public weights a model starts from, where a user names them: a file, a hub's name, a package, a tag.

Victim, lock and attacker build the model by one name, and the name holds the weights. So what is public to the attacker
is what the victim started from. No torch here.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.checkpoints.importers.catalogue import PACKAGES
from bench.checkpoints.model_names import NO_WEIGHTS, ModelName, parse, with_weights
from bench.errors import UserError
from bench.hashing import LENGTH, file_digest
from bench.paths import user_path

HUB = "hf-hub:"
"""What a hub's name begins with."""
CONFIG = "config.json"
"""The file of a hub's model that says which architecture it is."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
"""How files of weights end."""


def is_file(weights: str) -> bool:
    """Whether ``weights`` names a file: by its ending, or by a folder before it."""
    if not weights or weights.startswith(HUB) or weights in PACKAGES:
        return False
    return weights.lower().endswith(SUFFIXES) or "/" in weights or weights.startswith("~")


def located(text: str) -> str:
    """The model ``text`` with its weights in one form: a file by its full path and content, a tag in timm's own name.

    ``resnet18?weights=a1_in1k`` is timm's ``resnet18.a1_in1k``. A file whose content is named already is left.

    Raises:
        UserError: a name that cannot be read, or a file that is not there.
    """
    model = parse(text)
    if f"weights={NO_WEIGHTS}" in text.partition("?")[2].split("&"):
        return with_weights(text, NO_WEIGHTS)
    if not model.weights or model.digest:
        return text
    if is_file(model.weights):
        path = _file(model.weights)
        return with_weights(text, str(path), content_of(path))
    if model.weights.startswith(HUB) or model.weights in PACKAGES or model.source:
        return with_weights(text, model.weights)
    return _tagged(text, model)


def _tagged(text: str, model: ModelName) -> str:
    """``text`` with the tag of its weights in timm's way, ``resnet18.a1_in1k``."""
    base, _, query = text.partition("?")
    tag = model.weights.removeprefix(f"{model.name}.")
    if "." in model.name and model.name.partition(".")[2] != tag:
        raise UserError(f"'{model.name}' has a tag, and the weights '{model.weights}' are others.", "Name one of them.")
    rest = base[len(model.name) :]
    kept = [part for part in query.split("&") if part.partition("=")[0] != "weights"]
    name = model.name.partition(".")[0]
    return f"{name}.{tag}{rest}" + (f"?{'&'.join(kept)}" if kept else "")


def _file(text: str) -> Path:
    path = user_path(text)
    if not path.is_file():
        raise UserError(f"there is no file of weights {path}.", "Give --weights another file, or a name.")
    return path.resolve()


def file_of(model: ModelName) -> Path | None:
    """The file that ``model`` starts from, where its name says one or a package carries it; None for other names.

    Raises:
        UserError: it is not here, or its content is not what the name says.
    """
    package = PACKAGES.get(model.weights)
    if package is not None:
        path = package.find()
        if path is None:
            raise UserError(f"the weights '{model.weights}' are not on this machine.", package.remedy)
        expected = package.sha256[:LENGTH]
    elif is_file(model.weights):
        path, expected = _file(model.weights), model.digest
    else:
        return None
    if expected and content_of(path) != expected:
        remedy = "Put the file back, or name the weights anew." if package is None else package.remedy
        raise UserError(f"the content of {path} is not what it was when it was named.", remedy)
    return path


def encoder_file(model: ModelName) -> Path:
    """The file that the encoder of ``model``, which classifies each pixel, starts from.

    Raises:
        UserError: its weights are no file's and no package's, or as `file_of`.
    """
    file = file_of(model)
    if file is None:
        raise UserError(
            f"the encoder of '{model.source}:{model.name}' takes --weights of a file, not '{model.weights}'.",
            "Give --weights the path of a file, or leave it out.",
        )
    return file


def identity(model: ModelName) -> dict[str, Any]:
    """What decides the content of the public weights that ``model`` names; empty where it names none.

    A file counts by its content, with the name of the model. A package has one content, and names of a hub or of a
    library stand for themselves.
    """
    package = PACKAGES.get(model.weights)
    return {} if package is None else {"public": package.sha256[:LENGTH]}


def content_of(path: Path) -> str:
    """Digest of the content of the file ``path``, read once as long as it is in the same state."""
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, *_state: int) -> str:
    return file_digest(path)
