"""Which answers hang together: classes that neighbours share, in a space that no lock has touched."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.information import balanced, logs
from attacks.kit.memory_bank import nearest

ROWS = 1024
"""Images whose neighbours are looked for at once: all cosines of a large pool would not fit into memory."""


def graph_of(embeddings: Tensor, near: int) -> Tensor:
    """(N, near) int64: the nearest others of each image, by the cosine of ``embeddings`` (N, D) of unit variance."""
    points = (embeddings - embeddings.mean(0)) / embeddings.std(0).clamp_min(1e-5)
    parts = torch.arange(len(points), device=points.device).split(ROWS)
    return torch.cat([nearest(points[part], points, near, but=part) for part in parts])


def coherence(classes: Tensor, graph: Tensor, k: int) -> float:
    """I(class of an image; class of its neighbour) in nats, of ``classes`` (N,) of images and a ``graph`` (N, M).

    It is 0 where all images have one class, or where neighbours have any; log K where neighbours agree and the K
    classes are even.
    """
    one = F.one_hot(classes, k).float()
    joint = one.T @ one[graph].mean(1) / len(one)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint.clamp_min(1e-9) / apart.clamp_min(1e-9)).log()).sum())


def smoothed(p: Tensor, graph: Tensor, rounds: int = 5) -> Tensor:
    """Probabilities (N, K) after a walk over ``graph`` (N, M) that keeps half of each; squared, then balanced."""
    walk = p
    for _ in range(rounds):
        walk = 0.5 * p + 0.5 * walk[graph].mean(1)
    return balanced(logs(walk))
