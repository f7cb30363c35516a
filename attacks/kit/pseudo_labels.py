"""Pseudo-labels: a classifier's own most confident answers as labels of images that have none (Lee, 2013)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench import models
from bench.contracts import IGNORE, Classifier, Images


def with_pseudo_labels(model: Classifier, labelled: Images, unlabelled: Images, share: float) -> Images:
    """``labelled``, repeated so that true labels keep a weight of their own, and the surest of ``unlabelled``.

    Args:
        model: its answers over the K real classes are the pseudo-labels.
        labelled: (N, 3, S, S) with true labels.
        unlabelled: (M, 3, S, S).
        share: most confident share of the images of each pseudo-class that is taken, in (0, 1]. In segmentation it
            is a share of the pixels, and the others are not judged.
    """
    confidence, label = (torch.cat(parts) for parts in zip(*_answers(model, unlabelled), strict=True))
    at = _surest(confidence.flatten(), label.flatten(), model.k, share)
    if label.ndim > 1:
        masks = torch.full_like(label, IGNORE)
        masks.view(-1)[at] = label.view(-1)[at]
        times = max(1, len(label) // (2 * len(labelled)))
        both = torch.cat([labelled.pixels.repeat(times, 1, 1, 1), unlabelled.pixels])
        return Images(both).with_masks(torch.cat([labelled.labels.repeat(times, 1, 1), masks]))
    times = max(1, len(at) // (2 * len(labelled)))
    pixels = torch.cat([labelled.pixels.repeat(times, 1, 1, 1), unlabelled.pixels[at]])
    return Images(pixels, torch.cat([labelled.labels.repeat(times), label[at].to(labelled.labels.device)]))


def _answers(model: Classifier, images: Images) -> list[tuple[Tensor, Tensor]]:
    """Confidence and class of every image or pixel, over the K real classes, batch by batch."""
    parts = [part[:, : model.k].softmax(1).max(1) for part in models.output_batches(model, images)]
    return [(part.values, part.indices) for part in parts]


def _surest(confidence: Tensor, label: Tensor, k: int, share: float) -> Tensor:
    """Indices of the most confident ``share`` of each class, class by class; at least one of a class that is there."""
    surest = []
    for own in range(k):
        at = torch.nonzero(label == own).flatten()
        order = confidence[at].argsort(descending=True)
        surest.append(at[order[: max(1, round(share * len(at)))]])
    return torch.cat(surest)
