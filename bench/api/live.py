"""A live `nn.Module`: its weights as a file in the store, and the name by which other processes rebuild it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from bench import models
from bench.checkpoints import model_names, networks
from bench.contracts import Classifier
from bench.errors import UserError
from bench.hashing import file_digest


def save(module: nn.Module, folder: Path) -> Path:
    """The weights of ``module`` as ``folder/DIGEST.safetensors``; written at once, once for each content."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{os.getpid()}"
    try:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}, part)
        path = folder / f"{file_digest(part)}.safetensors"
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def name_of(module: nn.Module, model_args: dict[str, Any]) -> str:
    """The timm name that rebuilds ``module``; its weights fit what is rebuilt.

    Raises:
        UserError: the module's architecture is the caller's own code, or was changed since timm made it.
    """
    remedy = (
        'Give factory="package.module:function", a function that makes it, or architecture="NAME" where it has one.'
    )
    if isinstance(module, Classifier):
        raise UserError(
            "attacks rebuild a classifier of LockBench by the name of its architecture, which it does not hold.",
            'Give architecture="cnn", or what card.model of the zoo says.',
        )
    config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    config = config if isinstance(config, dict) or config is None else vars(config)
    name = str((config or {}).get("architecture") or "")
    if not name:
        raise UserError(
            f"attacks rebuild {type(module).__name__} in processes of their own, and its architecture is not known.",
            remedy,
        )
    models.check(name)
    outputs = getattr(module, "num_classes", 0)
    rebuilt = networks.make({"name": name, "kwargs": model_args}, outputs).state_dict()
    own = module.state_dict()
    differing = [k for k in {*own, *rebuilt} if k not in own or k not in rebuilt or own[k].shape != rebuilt[k].shape]
    if differing:
        raise UserError(
            f"the module says it is timm's '{name}', and {len(differing)} of its weights are others "
            f"({', '.join(sorted(differing)[:3])}).",
            'Give model_args as it was made with, or factory="package.module:function".',
        )
    return model_names.text_of(name, {})
