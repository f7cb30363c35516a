"""Answers and labels of pixels as rows, so that a loss or a score of images serves pixels too.

Classes are dimension 1 of outputs, (N, C) or (N, C, H, W); labels are (N,) or masks (N, H, W). Whatever is a mean
over images here becomes a mean over pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench import measures, metrics
from bench.contracts import IGNORE


def rows(values: Tensor) -> Tensor:
    """(N, C) as it is; maps (N, C, H, W) as (N · H · W, C), a row for each pixel."""
    return values if values.ndim < 3 else values.movedim(1, -1).flatten(0, -2)


def judged_rows(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`rows` of outputs (N, C) or (N, C, H, W) and their labels (M,), without pixels that are `IGNORE`."""
    if labels.ndim == 1:
        return outputs, labels
    flat = labels.flatten()
    judged = flat != IGNORE
    return rows(outputs)[judged], flat[judged]


def some_rows(outputs: Tensor, labels: Tensor | None, most: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most ``most`` pixels of each image, drawn at random: rows (N, M, C) and their labels (N, M).

    Labels are `IGNORE` where a pixel is not judged, and 0 where there are none.

    Args:
        outputs: (N, C, H, W).
        labels: (N, H, W), or None.
    """
    flat = outputs.flatten(2)
    at = torch.rand((len(flat), flat.shape[2]), generator=rng).argsort(1)[:, :most]
    own = torch.zeros_like(at) if labels is None else labels.flatten(1).gather(1, at)
    return flat.gather(2, at[:, None].expand(-1, flat.shape[1], -1)).movedim(1, -1), own


def one_hot(labels: Tensor, k: int) -> Tensor:
    """Labels (N,) or (N, H, W) in [0, K) as ones at the class: (N, K) or (N, K, H, W) float32; `IGNORE` has no one."""
    hot = torch.nn.functional.one_hot(labels.clamp_min(0), k).float()
    return (hot * (labels >= 0).unsqueeze(-1)).movedim(-1, 1)


def score(predicted: Tensor, labels: Tensor, k: int) -> float:
    """Accuracy of classes (N,), or the mean IoU over all pixels of masks (N, H, W); percent.

    Raises:
        ValueError: nothing is judged.
    """
    if labels.ndim == 1:
        return metrics.accuracy(predicted.numpy(), labels.numpy())
    return metrics.mean_iou(measures.confusion(predicted, labels, k).sum(0))


def main_class(labels: Tensor, k: int) -> Tensor:
    """(N,): labels (N,) as they are; of masks (N, H, W) the most frequent class but 0, or 0 where there is no other.

    Args:
        labels: of any integer type; what lies outside [0, K) does not count.
        k: K, the number of real classes.
    """
    if labels.ndim == 1:
        return labels
    counts = torch.stack([(labels == label).flatten(1).sum(1) for label in range(1, k)], 1)
    return torch.where(counts.sum(1) > 0, counts.argmax(1) + 1, 0)
