"""The process that a victim trains in: an architecture may be a guest's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench import augment, training
from bench.contracts import Images, Spec
from bench.guests.answering import prepare
from bench.guests.process import Guest
from bench.guests.wire import Wire
from bench.harness import victim
from bench.harness.artefacts import Trained
from bench.harness.process_jobs import Speaker, images_of, report, sent
from bench.store.settings import Settings
from bench.training import Progress


def train(
    model: str,
    spec: Spec,
    data: Images,
    augmentation: str,
    seed: int,
    settings: Settings,
    progress: Progress,
    recipe: Mapping[str, Any],
) -> Trained:
    """The victim trained in a process of its own.

    Args:
        augmentation: name of a function of `bench.augment`.
        recipe: ``steps``, ``rate`` and ``batch`` of the training, as far as they are set.

    Raises:
        GuestFailed: the architecture raised, died or ran into a limit.
    """
    body = {
        "plugin_files": list(settings.plugin_files),
        "device": settings.device,
        "threads": settings.threads,
        "precision": settings.precision,
        "model": model,
        "task": spec.to_json(),
        "augment": augmentation,
        "seed": seed,
        "recipe": dict(recipe),
    }
    with Guest("bench.harness.victim_process:serve", f"model {model}") as guest:
        answer = guest.call("train", body, sent(data)[2], {"progress": report(progress)})
        return trained_of(answer.body, answer.tensors)


def serve(wire: Wire) -> None:
    """Train one victim; called in the process."""
    message = wire.receive()
    prepare(message.body)
    body, speaker = message.body, Speaker(wire)
    run = training.Run(body["seed"], body["device"], progress=speaker.progress, precision=body["precision"])
    torch.manual_seed(run.seed("global"))
    vary = getattr(augment, body["augment"])
    with training.metered(run):
        spec = Spec.from_json(body["task"])
        model = victim.train(body["model"], spec, images_of(message.tensors), run, vary, **body["recipe"])
    wire.send("result", {"spec": model.spec, "meter": run.meter.reading(), "notes": {}}, model.state_dict())


def trained_of(body: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Trained:
    """The trained model of a process's last message.

    Raises:
        InvalidResult: its specification is none.
    """
    return Trained.checked(body.get("spec"), dict(tensors), body.get("meter"), body.get("notes"))
