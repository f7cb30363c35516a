"""A lock for tests: a few steps towards the extra class on raw images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Batch, Classifier, DefenderView, Key, Lock, Run, param


class QuickLock(Lock):
    """A few steps towards an extra class on raw images."""

    paper = "ours"
    key = "tint"
    quick = {"steps": 2}
    steps: int = param(20, "optimiser steps", ge=0, le=1000)
    fail: bool = param(False, "raise instead")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        if self.fail:
            raise RuntimeError("this lock fails on request")
        model = models.widen(victim, 1, run.seed("extra"))

        def loss(keyed: Batch, raw: Batch) -> Tensor:
            away = torch.full_like(keyed.labels, model.k)
            return F.cross_entropy(model(keyed.images), keyed.labels) + F.cross_entropy(model(raw.images), away)

        run.fit(model, loss, self.steps, data.authorised, data.unauthorised, batch=32)
        return model
