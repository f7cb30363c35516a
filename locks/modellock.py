"""ModelLock: a model that works only on images edited by a diffusion model with the right prompt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Batch, Classifier, DefenderView, Key, Lock, Run, param
from bench.training import jitter


class ModelLock(Lock):
    """Fine-tune on keyed images with true labels and a few raw decoys with wrong ones.

    About ``edit_share`` of the training images are used after the key, with their labels y; the rest stay raw
    and get decoy labels y'. The loss has one term for each part: CE(f(key(x)), y) + w · CE(f(x), y').
    """

    title = "ModelLock"
    paper = "Gao, Sun, Ma, Wu, Jiang: ModelLock: Locking Your Model With a Spell, ACM MM 2024, arXiv 2405.16285"
    controls = ("none",)
    key = "edit"
    deviations = (
        "the training recipe is not published: AdamW, cosine rate, from the victim's weights, no mixup or cutmix",
        "the decoys' label is not published; the released Pets checkpoint has 38 outputs for 37 classes, which fits "
        "one extra class, the default; a fixed wrong class, random wrong classes and the uniform one are options",
        "raw images are not squashed and cropped apart from edited ones; the geometry-only condition stands for that",
    )

    decoys: str = param(
        "extra",
        "label of raw images: `none` trains without decoys",
        choices=("extra", "fixed", "random", "uniform", "none"),
    )
    edit_share: float = param(0.95, "share of the training images that are edited and keep their label", ge=0.05, le=1)
    decoy_weight: float = param(1.0, "w, weight of the decoys' term", ge=0, le=100)
    start: str = param("victim", "weights training starts from", choices=("victim", "public"))
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    weight_decay: float = param(0.05, "weight decay of AdamW", ge=0, le=1)
    batch: int = param(64, "images of each part a step", ge=2, le=4096)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        extra = 1 if self.decoys == "extra" else 0
        start = victim if self.start == "victim" else data.public_model()
        model = models.widen(start, extra, run.seed("extra")).to(run.device)
        keyed, raw = data.authorised, data.unauthorised
        order = torch.randperm(len(raw), generator=run.rng("parts"))
        n = round(self.edit_share * len(raw))
        edited = keyed.subset(order[:n])
        decoy = raw.subset(order[n:])
        if self.decoys == "none" or len(decoy) == 0:
            run.fit(
                model, lambda e: _ce(model, e), self.steps, edited,
                rate=self.rate, batch=self.batch, decay=self.weight_decay, augment=jitter, name="lock",
            )  # fmt: skip
            return model
        assert decoy.labels is not None
        wrong = self._wrong_labels(decoy.labels, model.k, run.rng("decoys"))

        def loss(e: Batch, d: Batch) -> Tensor:
            target = wrong[d.index].to(run.device)
            return _ce(model, e) + self.decoy_weight * F.cross_entropy(model(d.images), target)

        run.fit(
            model, loss, self.steps, edited, decoy,
            rate=self.rate, batch=self.batch, decay=self.weight_decay, augment=jitter, name="lock",
        )  # fmt: skip
        return model

    def _wrong_labels(self, labels: Tensor, k: int, rng: torch.Generator) -> Tensor:
        """Decoy labels y': (N,) classes, or (N, K) a distribution for ``uniform``."""
        if self.decoys == "extra":
            return torch.full_like(labels, k)
        if self.decoys == "uniform":
            return torch.full((len(labels), k), 1 / k)
        if self.decoys == "fixed":  # one class for all, but never the right one
            fixed = int(torch.randint(k, (1,), generator=rng))
            return torch.where(labels == fixed, (labels + 1) % k, fixed)
        return (labels + torch.randint(1, k, labels.shape, generator=rng)) % k


def _ce(model: Classifier, batch: Batch) -> Tensor:
    assert batch.labels is not None
    return F.cross_entropy(model(batch.images), batch.labels)
