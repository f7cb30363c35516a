"""The victim: the trained, unprotected model that a lock starts from. One recipe for every lock."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Augment, Batch, Classifier, Images, Spec
from bench.training import Run


def train(
    model: str,
    spec: Spec,
    data: Images,
    run: Run,
    augment: Augment,
    steps: int | None = None,
    rate: float | None = None,
    batch: int = 64,
) -> Classifier:
    """Public weights fine-tuned on the owner's labelled images: cross-entropy, images varied by ``augment``.

    Args:
        model: architecture, with or without a hidden head.
        spec: the task.
        data: the defender's labelled training images, before any key.
        augment: `bench.augment.jitter`, or `recolour` where the victim serves another domain too.
        steps: optimiser steps; None: the architecture's own.
        rate: peak rate; None: the architecture's own.
        batch: images of a step.
    """
    victim = models.build(model, spec, 0, "public", run.seed("head")).to(run.device)

    def loss(batch: Batch) -> Tensor:
        return F.cross_entropy(victim(batch.images), batch.labels)

    usual_steps, usual_rate = models.recipe(model)
    run.fit(
        victim, loss, steps or usual_steps, data, rate=rate or usual_rate, batch=batch, augment=augment, name="victim"
    )
    return victim
