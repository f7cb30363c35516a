"""Realignment: the features of both sides, which a lock tore apart, pulled together again without target labels."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit import tuning
from attacks.kit.selection import class_shares, most_accurate, most_informative, mutual_information
from attacks.kit.stages import style, with_stages
from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    EditStage,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.predictors import Direct


class Realign(Attack):
    """The features of both sides are pulled together again, without target labels.

    Minimises CE(f(x_s), y) + CE(f(x_s in the style of x_t), y) + γ Σ_stages d(φ_s, φ_t) − w(i) MI(f(x_t)). The style
    of unlabelled target images is mixed into every stage by a random share. d compares each channel's mean and
    deviation. MI is confidence and class balance on the target; its weight rises from 0 over the first half.
    """

    title = "realignment"
    paper = (
        "ours, against NTL; style mixing after MixStyle, Zhou et al., ICLR 2021, class balance after SHOT, Liang et "
        "al., ICML 2020"
    )
    selection = "label-free"
    against = ("ntl", "cuti", "cupi")
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights", "threat.share": 0.0, "threat.authorised": 0.1, "threat.wordlist": "none",
        "threat.known": "none",
    }  # fmt: skip
    quick = {"steps": 3}

    gap: float = param(0.1, "γ, weight of the distance between both sides' features", ge=0, le=100)
    confidence: float = param(1.0, "w, final weight of mutual information on the target", ge=0, le=100)
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(5e-4, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(48, "images of each side a step", ge=2, le=4096)
    select: str = param(
        "label-free", "by mutual information on the target; by accuracy on authorised images held out; by the judge",
        choices=("label-free", "source-validation", "oracle"),
    )  # fmt: skip
    held_out: float = param(
        0.2, "share of the authorised images to choose by", ge=0.05, le=0.9, where={"select": ("source-validation",)}
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True, authorised=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model, source, other = target.classifier, target.authorised, target.unlabelled
        validation: Images | None = None
        if self.select == "source-validation":
            source, validation = tuning.split(source, self.held_out, run.rng("held out"))
        checkpoints = tuning.Checkpoints(lambda: copy.deepcopy(model), self.steps)
        checkpoints.save("as it is")
        run.submit(
            Direct(checkpoints.models["as it is"]), checkpoint="as it is"
        )  # whatever the budget, something was handed in
        if models.has_batch_norm(model):  # the target's statistics from here on: what is styled fits them too
            models.reestimate_batch_norm(model, other)
        shares = class_shares(model, other)
        rng, step = run.rng("styles"), 0

        def each(number: int) -> None:
            nonlocal step
            step = number
            checkpoints(number)

        def loss(s: Batch, t: Batch) -> Tensor:
            out_t, stages_t = with_stages(model, t.images)
            out_s, stages_s = with_stages(model, s.images)
            partner = torch.randint(len(t.images), (len(s.images),), generator=rng)
            mixture = model(s.images, edit_stage=in_style([a.detach()[partner] for a in stages_t], rng))
            keep = F.cross_entropy(out_s[:, : model.k], s.labels) + F.cross_entropy(mixture[:, : model.k], s.labels)
            apart = torch.stack([distance(a, b) for a, b in zip(stages_s, stages_t, strict=True)]).sum()
            trust = self.confidence * min(1.0, 2 * step / self.steps)
            return keep + self.gap * apart - trust * mutual_information(out_t[:, : model.k], shares)

        run.fit(
            model, loss, self.steps, source, other,
            parameters=tuning.parameter_groups(model, "all", self.rate, 1.0, False),
            batch=self.batch, train_mode=False, augment=jitter, name="realign", each=each,
        )  # fmt: skip
        checkpoints.save("end")
        if self.select == "oracle":
            checkpoints.submit(run)
            return Direct(checkpoints.models["end"])
        every = checkpoints.latest_first()
        if validation is None:
            best, scores = most_informative(every, other, shares)
        else:
            best, scores = most_accurate(every, validation)
        run.submit(Direct(checkpoints.models[best]), checkpoint=best, scores=scores)
        return Direct(checkpoints.models[best])


def in_style(others: list[Tensor], rng: torch.Generator) -> EditStage:
    """A stage editor that gives activations the style of ``others``, by a share drawn for every image and stage."""

    def edit(i: int, activation: Tensor) -> Tensor:
        share = torch.rand((len(activation), *(1,) * (activation.ndim - 1)), generator=rng).to(activation.device)
        mean, deviation = style(activation)
        other_mean, other_deviation = style(others[i])
        new_mean = mean + share * (other_mean - mean)
        new_deviation = deviation + share * (other_deviation - deviation)
        return (activation - mean) / deviation * new_deviation + new_mean

    return edit


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over channels of the squared gap of batch mean and deviation, in units of the pooled deviation."""
    over = (0, 2, 3) if a.ndim == 4 else (0, 1)
    scale = (a.var(over) + b.var(over)).detach() / 2 + 1e-5
    means = (a.mean(over) - b.mean(over)).square() / scale
    deviations = (a.std(over) - b.std(over)).square() / scale
    return (means + deviations).mean()
