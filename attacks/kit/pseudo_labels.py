"""Pseudo-labels: a classifier's own most confident answers as labels of images that have none (Lee, 2013)."""

from __future__ import annotations

import torch

from bench import models
from bench.contracts import Classifier, Images


def with_pseudo_labels(model: Classifier, labelled: Images, unlabelled: Images, share: float) -> Images:
    """``labelled``, repeated so that true labels keep a weight of their own, and the surest of ``unlabelled``.

    Args:
        model: its answers over the K real classes are the pseudo-labels.
        labelled: (N, 3, S, S) with true labels.
        unlabelled: (M, 3, S, S).
        share: most confident share of the images of each pseudo-class that is taken, in (0, 1].
    """
    confidence, label = models.logits(model, unlabelled).softmax(1).max(1)
    surest = []
    for k in range(model.k):
        at = torch.nonzero(label == k).flatten()
        order = confidence[at].argsort(descending=True)
        surest.append(at[order[: max(1, round(share * len(at)))]])
    at = torch.cat(surest)
    times = max(1, len(at) // (2 * len(labelled)))
    pixels = torch.cat([labelled.pixels.repeat(times, 1, 1, 1), unlabelled.pixels[at]])
    return Images(pixels, torch.cat([labelled.labels.repeat(times), label[at].to(labelled.labels.device)]))
