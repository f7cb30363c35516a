"""Where an edit changes images, and how much: the mean squared change in decibels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from bench.contracts import IGNORED

CEILING = 60.0
"""dB: no change is counted smaller, since rounding to 8 bits alone costs about this much."""


@dataclass(frozen=True)
class Change:
    """PSNR of images after a key against those before, peak 1, in dB: the lower, the larger the change.

    The squared change is averaged over the pixels of all images before it is turned to decibels.

    Args:
        whole: over all pixels.
        inside: over those of the things shown; None where there are no masks.
        outside: over those of the background; None where there are no masks.
    """

    whole: float
    inside: float | None
    outside: float | None


def change(before: Tensor, after: Tensor, masks: Tensor | None = None) -> Change:
    """How much ``after`` differs from ``before``.

    Args:
        before, after: (N, 3, H, W) floating in [0, 1].
        masks: (N, H, W) integers, 0 for the background, `IGNORED` where a pixel is neither.
    """
    squared = (after - before).double().square().mean(1)
    if masks is None:
        return Change(decibel(squared), None, None)
    parts = (squared[(masks > 0) & (masks != IGNORED)], squared[masks == 0])
    inside, outside = (decibel(part) if part.numel() else None for part in parts)
    return Change(decibel(squared), inside, outside)


def decibel(squared: Tensor) -> float:
    """The mean of ``squared`` changes as PSNR in dB, at most `CEILING`; of no pixel at all `CEILING`."""
    least = 10 ** (-CEILING / 10)
    mean = squared.mean().item() if squared.numel() else 0.0
    return -10 * math.log10(max(mean, least))
