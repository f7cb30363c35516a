"""The victim: the trained, unprotected model that a lock starts from. One recipe for every lock."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Augment, Batch, Classifier, Images, Spec
from bench.training import Run


def train(model: str, spec: Spec, data: Images, run: Run, augment: Augment) -> Classifier:
    """Public weights fine-tuned on the owner's labelled images: cross-entropy, images varied by ``augment``.

    Args:
        model: architecture, with or without a hidden head.
        spec: the task.
        data: the defender's labelled training images, before any key.
        augment: `bench.augment.jitter`, or `recolour` where the victim serves another domain too.
    """
    victim = models.build(model, spec, 0, "public", run.seed("head")).to(run.device)

    def loss(batch: Batch) -> Tensor:
        return F.cross_entropy(victim(batch.images), batch.labels)

    steps, rate = models.recipe(model)
    run.fit(victim, loss, steps, data, rate=rate, augment=augment, name="victim")
    return victim
