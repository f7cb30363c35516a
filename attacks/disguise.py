"""Disguise: translate unauthorised images into the authorised appearance, in front of the frozen locked model."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from attacks.kit.access import ask, handle
from attacks.kit.front import InFront
from attacks.kit.input import (
    Colour,
    Moments,
    Residual,
    Swap,
    Transform,
    match_channels,
    match_covariance,
    subset,
)
from attacks.kit.likeness import likeness
from attacks.kit.selection import guess_score
from attacks.kit.translation import Weights, translate
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param


class Disguise(Attack):
    """A network makes unauthorised images look authorised, in front of the frozen model.

    It starts from the best of a family of statistics matchings (channel moments, colour covariance, Fourier amplitude).
    With the weights a residual network G follows: two critics, cycle, identity, content and feature-statistics terms,
    confidence and class balance of f(G(x)). The best of four checkpoints is handed in. Behind an interface, a local
    search over a colour map follows, by queries. Each choice is by confidence and by likeness to authorised images: of
    channel statistics, with the weights also of features. Confidence alone misleads, since a lock that leads raw images
    to wrong classes is sure of them.
    """

    title = "disguise"
    paper = (
        "JailNTL: Xiang, Hong, Yao, Wang, Liu: Jailbreaking the Non-Transferable Barrier via Test-Time Data "
        "Disguising, CVPR 2025, arXiv 2503.17198"
    )
    published = ("ntl_attacks_jailntl_poster.csv",)
    selection = (
        "likeness-and-information",
        "most information in answers and most likeness to authorised images, on the attacker's images; no label",
    )
    deviations = (
        "networks are small and residual, start at the identity and follow a matching of statistics",
        "adapts once on pool images, not on the test stream, so that answers do not depend on the batch",
        "content is held by the squared correlation of brightness besides the cycle",
        "black-box: a family of disguises and a local search by queries, where the paper estimates gradients",
    )
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights",
        "threat.share": 0.0,
        "threat.authorised": 0.01,
        "threat.wordlist": "none",
        "threat.known": "none",
    }
    quick = {"steps": 3, "trials": 2}

    steps: int = param(200, "optimiser steps of the network, with weights", ge=0, le=100_000, unit="steps")
    rate: float = param(2e-3, "learning rate of Adam", ge=1e-6, le=1)
    batch: int = param(24, "images of each side a step", ge=2, le=4096)
    width: int = param(24, "channels of the networks", ge=1, le=512)
    adversarial: float = param(0.3, "weight of the discriminator's term", ge=0, le=100)
    cycle: float = param(2.0, "weight of the cycle's L1 terms", ge=0, le=100)
    identity: float = param(
        1.0, "weight of leaving images as they are that are on the right side already", ge=0, le=100
    )
    content: float = param(1.0, "weight of 1 − ρ², ρ the correlation of brightness before and after", ge=0, le=100)
    features: float = param(3.0, "weight of the distance of feature statistics", ge=0, le=100)
    answers: float = param(1.0, "weight of confidence, class balance and claimed mass", ge=0, le=100)
    trials: int = param(60, "colour maps tried by queries, behind an interface", ge=0, le=100_000, unit="trials")
    probe: int = param(128, "unlabelled images that disguises are chosen on", ge=2, le=4096, unit="images")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights", "logits"), unlabelled=True, authorised=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        probe = subset(target.unlabelled, self.probe, run.rng("probe")).images

        like = likeness(target, run, probe)

        @torch.no_grad()
        def score(chain: list[Transform]) -> float:
            images = nn.Sequential(*chain)(probe)
            return guess_score(ask(target, images), None, target.spec.k) / math.log(target.spec.k) + like(images)

        family = _family(target.unlabelled.images, target.authorised.images, target.spec.size)
        best, best_score = max(((chain, score(chain)) for chain in family), key=lambda pair: pair[1])
        run.submit(InFront.of(handle(target), *best), what="statistics", score=round(best_score, 4))
        if target.threat.access == "weights":
            nets = self._translate(target, run, best) if self.steps else []
            chain, best_score = max(
                ((c, score(c)) for c in (best, *([*best, net] for net in nets))), key=lambda pair: pair[1]
            )
            return InFront.of(handle(target), *chain)
        rng, spread = run.rng("trials"), 0.1  # (1 + 1)-evolution with the one-fifth rule
        colour = Colour()
        for trial in range(self.trials):
            move = torch.randn(3, 4, generator=rng) * spread
            candidate = Colour().set(colour.weight + move[:, :3], colour.bias + 0.5 * move[:, 3])
            if (value := score([*best, candidate])) > best_score:
                colour, best_score, spread = candidate, value, spread * 1.5
                run.submit(InFront.of(handle(target), *best, colour), what="colour map", score=round(best_score, 4))
            else:
                spread = max(0.01, spread * 1.5**-0.25)
            run.progress(trial + 1, self.trials, "disguises")
        return InFront.of(handle(target), *best, colour)

    def _translate(self, target: AttackerView, run: Run, base: list[Transform]) -> list[Residual]:
        """G after each quarter of its training, on images that went through ``base``."""
        weights = Weights(self.adversarial, self.cycle, self.identity, self.content, self.features, self.answers)
        return translate(target, run, base, weights, self.steps, self.rate, self.batch, self.width)


def _family(images: Tensor, like: Tensor, size: int) -> list[list[Transform]]:
    """Statistics matchings from nothing to more: each a chain of transforms."""
    channel, covariance = match_channels(images, like), match_covariance(images, like)
    swaps: list[Transform] = [Swap(size, band).set(like) for band in (0.1, 0.3, 1.0)]
    alone: list[Transform] = [channel, covariance, Moments(0.5).set(like), Moments(1.0).set(like), *swaps]
    return [[], *([t] for t in alone), *([c, s] for c, s in itertools.product((channel, covariance), swaps[:2]))]
