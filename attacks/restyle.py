"""Restyle: against locks that answer unauthorised images by their style, the style is taken away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.adaptation import Course, balance, soft_cross_entropy, strong, weak
from attacks.kit.memory_bank import nearest
from attacks.kit.selection import mutual_information
from attacks.kit.stages import style
from bench.contracts import Acceptance, Attack, AttackerView, Batch, EditStage, Predictor, Run, ThreatModel, param


class Restyle(Attack):
    """The model learns a few authorised images in the style of all the others.

    Minimises CE(f(x_a, any style), y_a) over authorised images: weak and recoloured views, and a view whose stage
    statistics (mean and deviation of each channel) are those of a target image. On target images, which get no
    label, it minimises −MI(p) of weak and strong views and −0.1 H(mean p) of the strong. From the second third on it
    adds soft CE to the neighbours' vote of a weak view. That holds under a strong view, and under the statistics of an
    authorised image.
    """

    title = "restyle"
    paper = "ours, written against H-NTL; statistics mixing after Zhou et al.: MixStyle, ICLR 2021"
    selection = "mutual-information"
    unsuited = "its views of an image are moved apart, so that their answers to a pixel do not match"
    defaults = {
        "threat.access": "weights",
        "threat.share": 0.0,
        "threat.authorised": 0.1,
        "threat.wordlist": "none",
        "threat.known": "none",
    }
    against = ("h-ntl",)
    quick = {"steps": 3}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    swap: float = param(0.5, "chance that a stage takes the other side's statistics", ge=0, le=1)
    consistency: float = param(0.5, "weight of the neighbours' vote on target images", ge=0, le=10)
    information: float = param(0.3, "weight of mutual information on target images", ge=0, le=10)
    near: int = param(5, "neighbours that vote", ge=1, le=1000)
    every: int = param(20, "steps between two votes", ge=1, le=10_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(48, "images of each side a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True, authorised=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run), run.rng("views")
        model, k, device = course.model, target.spec.k, run.device
        votes = torch.full((len(course.images), k), 1 / k, device=device)
        rounds = 0

        def refresh() -> None:
            nonlocal rounds
            features, probabilities = course.embed_and_answer()
            own = torch.arange(len(features), device=features.device)  # an image is no neighbour of its own
            votes.copy_(probabilities[nearest(features, features, self.near, but=own)].mean(1))
            rounds += 1

        def loss(t: Batch, a: Batch) -> Tensor:
            n = min(len(t.images), len(a.images))
            own, other = weak(a.images, rng), weak(t.images, rng)
            views = torch.cat([own, strong(a.images, rng), other, strong(t.images, rng)])
            logits = model.logits(views)
            weak_own, strong_own, weak_other, strong_other = logits.split([len(own), len(own), len(other), len(other)])
            out = F.cross_entropy(weak_own, a.labels) + F.cross_entropy(strong_own, a.labels)
            # one pass over both sides: each takes the statistics of the other at random stages
            both = model(torch.cat([own[:n], other[:n]]), edit_stage=crossing(n, self.swap, rng))[:, :k]
            out = out + F.cross_entropy(both[:n], a.labels[:n])
            out = out - self.information * (mutual_information(weak_other) + mutual_information(strong_other)) / 2
            if (rounds - 1) * self.every >= self.steps // 3:  # earlier votes are not worth learning
                answers = t.of(votes)
                targets = answers.square() / answers.square().sum(1, keepdim=True)
                agreement = soft_cross_entropy(strong_other, targets).mean()
                agreement = agreement + soft_cross_entropy(both[n:], targets[:n]).mean()
                out = out + self.consistency * (agreement + soft_cross_entropy(weak_other, targets).mean())
            return out + 0.1 * balance(strong_other.softmax(1))

        course.fit(
            loss, self.steps, target.authorised,
            rate=self.rate, batch=[self.batch, self.batch], refresh=refresh, every=self.every, statistics="running",
        )  # fmt: skip
        return course.best()


def crossing(n: int, chance: float, rng: torch.Generator) -> EditStage:
    """An `EditStage` that gives the first ``n`` images the statistics of the second ``n``, and the other way round.

    Each stage does so with probability ``chance``, by a random share of the way.
    """

    def edit(_stage: int, activation: Tensor) -> Tensor:
        if float(torch.rand((), generator=rng)) >= chance or len(activation) != 2 * n:
            return activation
        mean, std = style(activation)
        share = torch.rand((2 * n, *[1] * (activation.ndim - 1)), generator=rng).to(activation.device)
        other = [torch.cat([s[n:], s[:n]]).detach() for s in (mean, std)]
        to_mean, to_std = (share * theirs + (1 - share) * s for theirs, s in zip(other, (mean, std), strict=True))
        return (activation - mean) / std * to_std + to_mean

    return edit
