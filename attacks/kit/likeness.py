"""How much images look like authorised ones: by colour, and by the features of the locked model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attacks.kit.input import subset
from attacks.kit.translation import statistics
from bench.contracts import AttackerView, Run

PIXELS = 1024 * 32 * 32
"""Pixels of the authorised images that are looked at: 1,024 images of 32 pixels. They pass the model together."""
FEWEST = 64
"""Authorised images that are looked at, however large they are."""


def appearance(target: AttackerView, run: Run) -> Callable[[Tensor], Tensor]:
    """A function of images to what they look like: colour moments and, with the weights, feature statistics.

    It takes (N, 3, H, W) to a vector of means and deviations over the set.
    """

    @torch.no_grad()
    def vector(images: Tensor) -> Tensor:
        pixels = images.permute(1, 0, 2, 3).flatten(1)
        moments = torch.cat([pixels.mean(1), pixels.std(1)])
        if target.threat.access != "weights":
            return moments
        stages, _ = statistics(target.classifier, images.to(run.device))
        return torch.cat([moments, *(f.flatten().cpu() / len(f[0]) ** 0.5 for f in stages)])

    return vector


def likeness(target: AttackerView, run: Run, images: Tensor) -> Callable[[Tensor], float]:
    """A function of images to their likeness to authorised ones: 0 where equal, −1 for ``images``, at least −2.

    Args:
        images: (N, 3, H, W), unauthorised ones as they are.
    """
    vector = appearance(target, run)
    goals, (height, width) = target.authorised, target.authorised.shape[2:]
    most = max(FEWEST, PIXELS // (height * width))
    goal = vector((goals if len(goals) <= most else subset(goals, most, run.rng("likeness"))).images)
    far = float((vector(images) - goal).square().sum()) + 1e-6

    def score(changed: Tensor) -> float:
        return -min(2.0, float((vector(changed) - goal).square().sum()) / far)

    return score
