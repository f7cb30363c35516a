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
    """A locked checkpoint of one's own, from a safetensors file.

    `--model` names its architecture. Without the victim there is no oracle, and no recovery. Where no key is named,
    authorised images are the raw ones; `-p lock.key=edit -p key.key_choice=fixed -p key.prompt="..."` names one.
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
        weights = {k if k in victim.state_dict() else f"net.{k}": v for k, v in state.items()}
        if head not in weights:
            names = ", ".join(list(state)[:3])
            raise UserError(
                f"{self.file} has no {head.removeprefix('net.')}: it holds {names}, ….",
                "Name its architecture: --model.",
            )
        model = models.widen(victim, len(weights[head]) - victim.k, run.seed("extra"))
        _check(self.file, weights, model.state_dict())
        model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in weights.items()})
        return model


def _check(file: str, state: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    missing, more = [k for k in own if k not in state], [k for k in state if k not in own]
    reshaped = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or more or reshaped:
        some = ", ".join((missing + more + reshaped)[:3])
        raise UserError(
            f"{file} does not fit the architecture: {len(missing)} weights missing, {len(more)} unknown, "
            f"{len(reshaped)} of another shape ({some}, …).",
            "Name its architecture with --model, and its image size.",
        )
    if not all(torch.isfinite(v).all() for v in state.values() if v.dtype.is_floating_point):
        raise UserError(f"{file} holds numbers that are not finite.", "Check how it was saved.")
