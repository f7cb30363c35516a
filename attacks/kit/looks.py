"""The search for the look of unauthorised images by which a model answers best, by a score without or with labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from attacks.kit.canonical import CHOICES, Canonical, Look
from attacks.kit.selection import guess_score, mutual_information

Ask = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) to (N, K + extra) logits."""

FIRST = ("ground", "contrast", "fill")
"""Fields whose values are tried together, since none helps without the others."""
ONE_BY_ONE = tuple(name for name in CHOICES if name not in FIRST)


Score = Callable[[Tensor, Tensor], float]
"""Images (N, 3, H, W) and a model's outputs on them (N, K + extra) to how well it answers, in units of log K."""


def information_score(k: int, likeness: Callable[[Tensor], float] | None = None, weight: float = 1.0) -> Score:
    """The label-free score: mutual information and mass of the K real classes, plus ``weight`` · ``likeness``."""

    def score(images: Tensor, outputs: Tensor) -> float:
        value = guess_score(outputs, None, k) / math.log(k)
        return value + (0.0 if likeness is None else weight * likeness(images))

    return score


def label_score(labels: Tensor, k: int) -> Score:
    """The score by the labels of the first images, over the K real classes; the rest counts by its mutual information.

    Args:
        labels: (M,) of the first M images.
    """

    def score(images: Tensor, outputs: Tensor) -> float:
        n = len(labels)
        by_label = guess_score(outputs[:n, :k], labels, k)  # the predictor has no extra outputs
        by_information = float(mutual_information(outputs[n:, :k])) if len(outputs) > n else 0.0
        return (by_label + by_information) / math.log(k)

    return score


@torch.no_grad()
def search(
    images: Tensor,
    ask: Ask,
    score: Score,
    beam: int,
    rounds: int,
    report: Callable[[int, Look, float], None],
) -> list[tuple[Look, float]]:
    """Looks with their scores, best first.

    All combinations of `FIRST` come first. The best ``beam`` of them then change one other field at a time, and keep
    the change that raises the score most.

    Args:
        images: (N, 3, H, W) in [0, 1], what looks are scored on.
        ask: the model.
        score: of changed images and the model's outputs on them.
        beam: looks that are kept between rounds.
        rounds: passes over the other fields.
        report: called with the number of looks tried, the last of them and its score.
    """
    scores: dict[Look, float] = {}

    def add(looks: Iterable[Look]) -> None:
        for look in looks:
            if look not in scores:
                changed = Canonical.of(look)(images)
                scores[look] = score(changed, ask(changed))
                report(len(scores), look, scores[look])

    def best(n: int) -> list[Look]:
        return sorted(scores, key=lambda look: -scores[look])[:n]

    add([Look()])
    add(Look(**dict(zip(FIRST, values, strict=True))) for values in itertools.product(*(CHOICES[f] for f in FIRST)))
    for _ in range(rounds):
        before = best(1)[0]
        for field in (*ONE_BY_ONE, *FIRST):
            add(other for look in best(beam) for other in look.alternatives(field))
        if best(1)[0] == before:
            break
    return [(look, scores[look]) for look in best(len(scores))]
