"""Accuracy and mean intersection over union with their image intervals. All in percent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]

SOME = 200
"""Images of the part of a split that much is judged on, as key conditions are."""


def accuracy(predicted: Array, labels: Array) -> float:
    """Percent of ``predicted`` (n,) equal to ``labels`` (n,).

    Raises:
        ValueError: no images, or lengths differ.
    """
    if len(predicted) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(predicted)} predictions for {len(labels)} labels")
    return 100.0 * float(np.mean(predicted == labels))


def at_random(n: int, most: int = SOME) -> Array:
    """(min(n, most),) ascending: random places of ``n``, always the same ones. A set may be sorted by class."""
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


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


def mean_iou(confusion: npt.NDArray[np.integer]) -> float:
    """Mean over the classes of intersection over union, percent; a class that is nowhere does not count.

    Args:
        confusion: (K, K + 1) pixels by true and predicted class; the last column is no real class.

    Raises:
        ValueError: no pixel is judged.
    """
    value = float(_mean_iou(parts_of(confusion)[None])[0])
    if np.isnan(value):
        raise ValueError("no pixel is judged")
    return value


def class_iou(confusion: npt.NDArray[np.integer]) -> list[float | None]:
    """Intersection over union of each class, percent; None for a class that is nowhere. As `mean_iou` otherwise."""
    both, predicted, true = (parts_of(confusion)[i].astype(float) for i in range(3))
    union = predicted + true - both
    return [100.0 * float(b / u) if u else None for b, u in zip(both, union, strict=True)]


def parts_of(confusion: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """(…, K, K + 1) confusion counts to (…, 3, K): pixels in both, predicted and true, by class."""
    k = confusion.shape[-2]
    both = np.diagonal(confusion, axis1=-2, axis2=-1)[..., :k]
    return np.stack([both, confusion.sum(-2)[..., :k], confusion.sum(-1)], axis=-2)


def _mean_iou(parts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(B, 3, K) pixels as `parts_of` has them to (B,) percent; NaN where no pixel is judged."""
    both, predicted, true = (parts[:, i].astype(np.float64) for i in range(3))
    union = predicted + true - both
    scores = np.divide(both, union, out=np.zeros_like(union), where=union > 0)
    present = (union > 0).sum(axis=1)
    mean: npt.NDArray[np.float64] = np.where(present > 0, 100.0 * scores.sum(axis=1) / np.maximum(present, 1), np.nan)
    return mean


def mean_iou_draws(confusion: npt.NDArray[np.integer], counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(B,) mean IoU of B resamples of images, percent; NaN where none of their pixels is judged.

    Args:
        confusion: (n, K, K + 1) of each image.
        counts: (B, n) how often each image is drawn.
    """
    parts = parts_of(confusion).astype(np.float64)
    return _mean_iou((counts @ parts.reshape(len(parts), -1)).reshape(len(counts), *parts.shape[1:]))


def mean_iou_interval(confusion: npt.NDArray[np.integer], draws: int = 2000) -> tuple[float, float]:
    """The 95 % percentile interval of the mean IoU over images, by bootstrap, percent.

    Args:
        confusion: (n, K, K + 1) of each image.
        draws: number of resamples; their generator has a fixed seed.
    """
    n = len(confusion)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), draws)
    low, high = np.nanpercentile(mean_iou_draws(confusion, counts), [2.5, 97.5])
    return float(low), float(high)
