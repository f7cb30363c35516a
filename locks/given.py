"""A locked checkpoint of one's own: judged and attacked as it is, without its victim or the method that made it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bench import models
from bench.contracts import Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.errors import UserError


class Given(Lock):
    """The weights in a safetensors file, in the architecture that --model names.

    Without the victim there is no oracle, and no recovery; with no key named, authorised images are the raw ones, and
    `-p lock.key=edit -p key.key_choice=fixed -p key.prompt="..."` names one.
    """

    title = "a checkpoint of one's own"
    role = "given"
    key = "none"
    files = ("file",)

    file: str = param("", "the weights: safetensors, names as in timm; outputs beyond K are the lock's own")

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(authorised=False, unauthorised=False, victim=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        try:
            state = load_file(Path(self.file).expanduser())
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self.file} is no safetensors file: {error}.", "Save the weights as safetensors."
            ) from None
        head = models.head_names(victim)[0]
        named = {k if k in victim.state_dict() else f"net.{k}": v for k, v in state.items()}
        if head not in named:
            shown = ", ".join(list(state)[:3])
            raise UserError(
                f"{self.file} has no {head.removeprefix('net.')}: it holds {shown}, ….",
                "Name its architecture: --model.",
            )
        model = models.widen(victim, len(named[head]) - victim.k, run.seed("extra"))
        _check(self.file, named, model.state_dict())
        model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in named.items()})
        return model


def _check(file: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    missing, more = [k for k in wanted if k not in found], [k for k in found if k not in wanted]
    other = [k for k in wanted if k in found and found[k].shape != wanted[k].shape]
    if missing or more or other:
        named = ", ".join((missing + more + other)[:3])
        raise UserError(
            f"{file} does not fit the architecture: {len(missing)} weights missing, {len(more)} unknown, "
            f"{len(other)} of another shape ({named}, …).",
            "Name its architecture with --model, and its image size.",
        )
    if not all(torch.isfinite(v).all() for v in found.values() if v.dtype.is_floating_point):
        raise UserError(f"{file} holds numbers that are not finite.", "Check how it was saved.")
