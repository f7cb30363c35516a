"""Merging: task arithmetic of the locked model with a model that the attacker trains."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor

from attacks.kit import tuning
from attacks.kit.selection import Best, accuracy
from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.gradients import gradients_inside
from bench.parameters import counterparts, matrices
from bench.predictors import Direct


class Merging(Attack):
    """θ = θ_pre + a (θ_locked − θ_pre) + b (θ_own − θ_pre), with the public weights θ_pre.

    θ_own is the public model under the locked head, trained on the attacker's labelled images. Heads are averaged by a
    and b. A lock against merging puts weights back to the public ones. Where `restore` is set, those that equal them
    bit for bit are trained first, and nothing else.
    """

    title = "merging"
    paper = "Ilharco et al.: Editing Models with Task Arithmetic, ICLR 2023, arXiv 2212.04089; `restore` is ours"
    selection = "held-out"
    against = ("merge-guard",)
    deviations = (
        "the attacker's model solves the same classes on its own images, so that heads can be averaged; the paper "
        "merges models of different tasks, each with its head",
        "batch-norm statistics of every mixture are estimated anew on the attacker's images",
    )
    unsuited = "its own model is trained by one label an image"
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 2, "points": 2}

    points: int = param(4, "values of a and of b, evenly from 0 to `furthest`", ge=2, le=21)
    furthest: float = param(1.0, "largest a and b", ge=0.1, le=2)
    restore: bool = param(True, "weights that equal the public ones are trained first")
    steps: int = param(400, "optimiser steps of the own model, and of the restoration", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate", ge=1e-6, le=1)
    held_out: float = param(0.3, "share of the labelled images that a and b are chosen by", ge=0.05, le=0.9)
    batch: int = param(64, "images a step", ge=1, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), labelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        locked = target.classifier
        run.submit(Direct(copy.deepcopy(locked)), what="as it is")  # whatever the budget, something was handed in
        public = target.public_model(locked.extra).to(run.device)
        train, validation = tuning.split(target.labelled, self.held_out, run.rng("held out"))
        if self.restore:
            restored = self._restored(locked, public, train, run)
            locked = locked if restored is None else restored
        own = mixture(locked, public, public, 0.0, 0.0)
        run.fit(
            own, lambda batch: tuning.cross_entropy(own, batch), self.steps, train,
            rate=self.rate, batch=self.batch, augment=jitter, name="own",
        )  # fmt: skip
        images = target.unlabelled if target.threat.unlabelled else train
        grid = [self.furthest * i / (self.points - 1) for i in range(self.points)]
        best = Best(partial(accuracy, images=validation))
        best.add("locked", locked)
        best.add("own", own)
        for a in grid:
            for b in grid:
                if a > 0 and b > 0:
                    mix = mixture(locked, own, public, a, b)
                    models.reestimate_batch_norm(mix, images)
                    best.add(f"a={a:.3g}, b={b:.3g}", mix)
        run.submit(Direct(best.model), what=best.name, scores=best.scores)
        return Direct(best.model)

    def _restored(self, locked: Classifier, public: Classifier, train: Images, run: Run) -> Classifier | None:
        """A copy of ``locked`` whose weights that equal the public ones are trained; None where none does."""
        model = copy.deepcopy(locked)
        other = counterparts(model, public, head=False)
        own = {n: p for n, p in matrices(model).items() if n in other}
        equal = {n: at for n, p in own.items() if bool((at := p.detach() == other[n].to(p.device)).any())}
        if not equal:
            return None
        weights = [own[n] for n in equal]

        def loss(batch: Batch) -> Tensor:
            return tuning.cross_entropy(model, batch)

        # No weight decay, and an Adam step of a gradient that was always 0 is 0: the other weights do not move.
        groups = [{"params": weights, "lr": self.rate, "weight_decay": 0.0}]
        with gradients_inside(zip(weights, equal.values(), strict=True)):
            run.fit(
                model, loss, self.steps, train,
                batch=self.batch, parameters=groups, train_mode=False, augment=jitter, name="restore",
            )  # fmt: skip
        run.submit(Direct(copy.deepcopy(model)), what="restored", weights=sum(int(at.sum()) for at in equal.values()))
        return model


@torch.no_grad()
def mixture(locked: Classifier, own: Classifier, public: Classifier, a: float, b: float) -> Classifier:
    """A copy of ``locked`` at θ_pre + a (θ_locked − θ_pre) + b (θ_own − θ_pre); its head is their mean by a and b.

    Tensors that the public model lacks, and those that are no floats, stay the locked ones. With a = b = 0 it is the
    public model under the locked head.
    """
    mix = copy.deepcopy(locked)
    head, state = set(models.head_names(locked)), mix.state_dict()
    base = counterparts(locked, public, head=False)
    for name, other in counterparts(locked, own).items():
        value = state[name]
        if not value.is_floating_point():
            continue
        if name in head:
            if a + b > 0:
                value.copy_((a * value + b * other) / (a + b))
        elif name in base:
            pre = base[name].to(value)
            value.copy_(pre + a * (value - pre) + b * (other - pre))
    return mix.eval()
