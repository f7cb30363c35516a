"""The process that reads a checkpoint before a run: how it fits its architecture, and whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import models, registry, training
from bench.checkpoints import reading
from bench.contracts import Spec
from bench.errors import UserError
from bench.guests.answering import prepare
from bench.guests.failure import GuestFailed
from bench.guests.process import Guest
from bench.guests.wire import Wire
from bench.store.settings import Settings


@dataclass(frozen=True)
class Facts:
    """What a checkpoint is, in its architecture.

    Args:
        outputs: how many it ships.
        parameters: how many numbers it has.
        notes: what was unwrapped, renamed, converted and reordered, a phrase each.
        spec: of the classifier.
        is_split: whether the embedding and the head alone make the outputs; some networks add more.
        stages: activations that `features` gives.
    """

    outputs: int
    parameters: int
    notes: tuple[str, ...]
    spec: dict[str, Any]
    is_split: bool
    stages: int


def read(model: str, task: Spec, params: Mapping[str, Any], settings: Settings) -> Facts:
    """Read the checkpoint of the lock ``given`` with ``params`` into the architecture ``model``, in a process.

    Raises:
        UserError: it cannot be read, does not fit, or does not answer with logits.
    """
    body = {
        "plugin_files": list(settings.plugin_files),
        "device": "cpu",
        "threads": settings.threads,
        "model": model,
        "task": task.to_json(),
        "params": dict(params),
    }
    try:
        with Guest("bench.harness.checkpoint_process:serve", f"checkpoint {Path(str(params['file'])).name}") as guest:
            answer = guest.call("read", body, None, {}).body
    except GuestFailed as failed:
        raise UserError(
            f"the checkpoint cannot be read: {failed.message}.", "Check --model and --model-args."
        ) from None
    if "error" in answer:
        raise UserError(*answer["error"])
    return Facts(**{**answer, "notes": tuple(answer["notes"])})


def architecture_of(path: Path, key: str) -> str:
    """The architecture that the training code noted in the checkpoint ``path``, or "".

    Raises:
        UserError: it cannot be read.
    """
    return reading.read(path, key).architecture


def serve(wire: Wire) -> None:
    """Read one checkpoint; called in the process."""
    message = wire.receive()
    prepare(message.body)
    try:
        facts = _facts(message.body)
    except UserError as error:
        facts = {"error": [error.message, error.remedy, list(error.lines)]}
    wire.send("result", facts)


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    spec = Spec.from_json(body["task"])
    run = training.Run(0, "cpu")
    try:
        architecture = models.build(body["model"], spec, 0, "random", 0)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UserError(
            f"the architecture '{body['model']}' cannot be built: {_first(error)}.", "Check --model and --model-args."
        ) from None
    lock: Any = registry.current().make("lock", "given", body["params"])
    model = lock.protect(architecture, None, None, run)
    images = torch.rand((2, 3, spec.size, spec.size), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            outputs, embedding = model(images), model.embed(images)
    except (RuntimeError, ValueError, AssertionError) as error:
        size = model.spec.get("size")
        raise UserError(
            f"the network does not answer to images of {size} pixels: {_first(error)}.", "Set --image-size."
        ) from None
    due = (2, model.k + model.extra, *((spec.size, spec.size) if spec.is_dense else ()))
    if tuple(outputs.shape) != due:
        raise UserError(f"the network answers with {tuple(outputs.shape)}, not {due}.")
    if not torch.isfinite(outputs).all():
        raise UserError("the network answers with numbers that are not finite.", "Check --mean and --std.")
    with torch.no_grad():
        alone = model.head(embedding)
    return {
        "outputs": model.k + model.extra,
        "parameters": sum(p.numel() for p in model.parameters()),
        "notes": list(run.notes["reading"]),
        "spec": model.spec,
        "is_split": bool(torch.allclose(alone, outputs, atol=1e-3)),
        "stages": len(model.features(images)),
    }


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
