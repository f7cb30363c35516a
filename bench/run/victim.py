"""The victim: the trained, unprotected model that a lock starts from. One recipe for every lock."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Batch, Classifier, Images, Spec
from bench.run.views import Augment
from bench.training import Run

STEPS = {"vit": 500, "cnn": 300}
RATE = {"vit": 2e-3, "cnn": 3e-3}


def train(model: str, spec: Spec, data: Images, run: Run, augment: Augment) -> Classifier:
    """Public weights fine-tuned on the owner's labelled images: cross-entropy, images varied by ``augment``.

    Args:
        model: architecture.
        spec: the task.
        data: the defender's labelled training images, before any key.
        augment: `bench.training.jitter`, or `recolour` where the victim is to serve another domain too.
    """
    base = model.partition(":")[0]  # a hidden head leaves the recipe as it is
    victim = models.build(model, spec, 0, "public", run.seed("head")).to(run.device)

    def loss(batch: Batch) -> Tensor:
        assert batch.labels is not None
        return F.cross_entropy(victim(batch.images), batch.labels)

    run.fit(victim, loss, STEPS.get(base, 500), data, rate=RATE.get(base, 5e-4), augment=augment, name="victim")
    return victim
