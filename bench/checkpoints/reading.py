"""The weights in a checkpoint's file, whatever wraps them. Nothing is unpickled but tensors."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bench.checkpoints import forms
from bench.checkpoints.key_names import stripped
from bench.errors import UserError

WRAPPERS = ("state_dict", "model", "model_state_dict", "ema", "state_dict_ema", "model_ema", "net", "module")
"""Keys under which training code keeps the weights, those it would evaluate last to first choice in this order."""
_CLASS = re.compile(r"(?:GLOBAL|global) ([\w.]+)")
CONVERT = (
    "import torch",
    "model = torch.load('{name}', weights_only=False)",
    "torch.save(model.state_dict(), 'weights.pth')",
)
"""What turns a whole pickled model into weights. It runs the code of the file, so its owner runs it."""


@dataclass
class Checkpoint:
    """What a file holds.

    Args:
        state: weights by name, prefixes removed, as they were saved.
        notes: what was unwrapped and removed, a phrase each.
        architecture: the name that the training code noted, or "".
        choices: other sets of weights in the file, by the key that names them.
    """

    state: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)
    architecture: str = ""
    choices: tuple[str, ...] = ()


def read(path: Path, key: str = "") -> Checkpoint:
    """The checkpoint in the file ``path``.

    Args:
        key: the wrapper to take, such as ``ema``; "" for the first of `WRAPPERS`.

    Raises:
        UserError: it cannot be read, is a whole pickled model, or holds no weights.
    """
    try:
        form = forms.check_form(path)
        content: Any = load_file(path) if form == forms.SAFETENSORS else _torch(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.", "Name another file.") from None
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file: {error}.", "Save the weights as safetensors.") from None
    notes: list[str] = []
    architecture = _architecture(content)
    choices = tuple(name for name in WRAPPERS if isinstance(content, Mapping) and _is_wrapped(content.get(name)))
    weights = _unwrapped(content, key, notes, path)
    bad = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    state = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    if not state:
        raise UserError(f"{path} holds no weights.", "Give a state dict: torch.save(model.state_dict(), FILE).")
    if bad:
        notes.append(f"left out what is no tensor: {', '.join(map(str, bad[:3]))}")
    state, removed = stripped(state)
    notes += [f"removed the prefix {removed}"] if removed else []
    _check_finite(path, state)
    return Checkpoint(state, notes, architecture, choices)


def _torch(path: Path) -> Any:
    try:
        # By its content: torch takes a path that ends in .safetensors for another form.
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below
            return torch.load(stream, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        if "TorchScript" in str(error):
            raise UserError(
                f"{path} is TorchScript, which runs code when it is opened.",
                "Save its weights alone, if you trust the file: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
            ) from None
        found = _CLASS.search(str(error))
        if found is None or found[1].startswith(("numpy", "argparse", "omegaconf", "collections")):
            reason = f"it holds {found[1]}" if found else str(error).strip().splitlines()[0][:160]
            remedy = "Save the weights alone: torch.save(checkpoint['model'], 'weights.pth'), or as safetensors."
            raise UserError(f"{path} cannot be read without running code: {reason}.", remedy) from None
        raise UserError(
            f"{path} is a whole pickled model ({found[1]}): opening it would run its code.",
            "Convert it yourself, if you trust the file, and audit weights.pth:",
            [line.format(name=path.name) for line in CONVERT],
        ) from None


def _is_wrapped(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor | Mapping) for v in value.values())


def _unwrapped(content: Any, key: str, notes: list[str], path: Path) -> Mapping[str, Any]:
    if key:
        inner = content.get(key) if isinstance(content, Mapping) else None
        if not _is_wrapped(inner):
            has = (
                ", ".join(name for name, v in content.items() if _is_wrapped(v)) if isinstance(content, Mapping) else ""
            )
            raise UserError(f"{path} has no weights under '{key}'.", f"It has: {has or 'nothing wrapped'}.")
        notes.append(f"took the weights under '{key}'")
        content = inner
    while isinstance(content, Mapping):
        if any(isinstance(value, Tensor) for value in content.values()):
            named = [name for name in WRAPPERS if _is_wrapped(content.get(name))]
            if not named or _is_state(content):
                return content
        for name in WRAPPERS:
            if _is_wrapped(content.get(name)):
                notes.append(f"took the weights under '{name}'")
                content = content[name]
                break
        else:
            break
    if isinstance(content, Mapping):
        raise UserError(
            f"{path} holds no weights: its keys are {', '.join(map(str, list(content)[:5])) or 'none'}.",
            "Name the one that holds them: --weights-key KEY.",
        )
    raise UserError(f"{path} holds a {type(content).__name__}, no weights.", "Save a state dict.")


def _is_state(content: Mapping[str, Any]) -> bool:
    return sum(isinstance(value, Tensor) and "." in str(name) for name, value in content.items()) > 1


def _architecture(content: object) -> str:
    """The name that timm's training script keeps beside the weights."""
    name = content.get("arch", content.get("architecture")) if isinstance(content, Mapping) else None
    return name if isinstance(name, str) and len(name) < 200 else ""


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    wrong = [k for k, v in state.items() if v.dtype.is_floating_point and not torch.isfinite(v).all()]
    if wrong:
        raise UserError(
            f"{path} holds numbers that are not finite ({', '.join(wrong[:3])}).", "Check how it was saved."
        )
