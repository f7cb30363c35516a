"""Accuracy and its image interval, mean intersection over union, floor. All in percent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]


def accuracy(predicted: Array, labels: Array) -> float:
    """Percent of ``predicted`` (n,) equal to ``labels`` (n,).

    Raises:
        ValueError: no images, or lengths differ.
    """
    if len(predicted) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(predicted)} predictions for {len(labels)} labels")
    return 100.0 * float(np.mean(predicted == labels))


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The Wilson interval of a rate, fractions.

    Raises:
        ValueError: ``n`` is 0, or ``hits`` not in [0, n].
    """
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def image_interval(correct: npt.NDArray[np.bool_], level: float = 0.95) -> tuple[float, float]:
    """The Wilson interval of an accuracy over images (n,), in percent: what other test images might have given."""
    low, high = wilson(int(correct.sum()), len(correct), level)
    return 100.0 * low, 100.0 * high


def floor(labels: Array) -> float:
    """The largest class's share of ``labels`` (n,): what a constant answer reaches."""
    return 100.0 * float(np.bincount(labels).max()) / len(labels)


def mean_iou(predicted: Array, masks: Array, k: int) -> float:
    """Mean over the classes present of intersection over union, (N, H, W) masks with values in [0, k)."""
    scores = []
    for label in range(k):
        a, b = predicted == label, masks == label
        union = np.logical_or(a, b).sum()
        if union:
            scores.append(np.logical_and(a, b).sum() / union)
    return 100.0 * float(np.mean(scores))
