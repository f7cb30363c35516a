"""Linear heads on a locked model's features at any depth: fitted in closed form, judged by leaving one image out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Classifier, Images, Predictor

LEAST = 1e-7
"""A direction whose deviation is below this share of the largest one's is rounding error of float32."""


def at_depth(model: Classifier, images: Tensor, depth: int | None, places: int) -> Tensor:
    """(N, D) features of images (N, 3, H, W): after stage ``depth``, or the embedding where it is None.

    An activation (N, C, h, w) becomes its means in ``places`` × ``places`` fields, (N, tokens, C) its mean over tokens.
    """
    return model.embed(images) if depth is None else _averaged(model.features(images)[depth], places)


def _averaged(activation: Tensor, places: int) -> Tensor:
    if activation.ndim == 4:
        return F.adaptive_avg_pool2d(activation, places).flatten(1)
    return activation.mean(1)


@torch.no_grad()
def all_features(
    model: Classifier, images: Images, stages: bool, places: int, batch: int = 256
) -> dict[int | None, Tensor]:
    """`at_depth` of every image by depth, from one pass: (N, D) float64 on the CPU each.

    Args:
        stages: whether depths other than the embedding, None, are read.
    """
    device = next(model.parameters()).device
    parts: dict[int | None, list[Tensor]] = {None: []}

    def tap(i: int, activation: Tensor) -> Tensor:
        if stages:
            parts.setdefault(i, []).append(_averaged(activation, places).double().cpu())
        return activation

    for b in images.batches(batch):
        parts[None].append(model.embed(b.images.to(device), tap).double().cpu())
    return {depth: torch.cat(own) for depth, own in parts.items()}


def axes_of(features: Tensor) -> dict[str, Tensor]:
    """Directions (D, R) in which ``features`` (N, D) vary, under ``whitened`` and ``plain``.

    Whitened: each has deviation 1 after it, so that no condition number is left: gradient descent, and any penalty on
    weights, sees all directions alike. Plain: they keep their deviations, over their root mean square. Directions
    outside the span of ``features`` are dropped.
    """
    _, s, axes = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    keep = s > LEAST * s.max().clamp_min(1e-30)
    deviations = s[keep] / max(1, len(features) - 1) ** 0.5
    basis: Tensor = axes[keep].T
    return {"whitened": basis / deviations, "plain": basis / deviations.square().mean().sqrt()}


@dataclass(frozen=True)
class Ridge:
    """argmin Σ ‖e_y − W x − b‖² + λ ‖W‖² of x (N, R), and what it answers to an image that it was not fitted to.

    Args:
        weight: (K, R).
        bias: (K,).
        left_out: (N, K) answers to each image of the fit to all others.
    """

    weight: Tensor
    bias: Tensor
    left_out: Tensor

    @classmethod
    def fits(cls, x: Tensor, labels: Tensor, k: int, ridges: Sequence[float]) -> list[Ridge]:
        """The regressions of one-hot ``labels`` (N,) on ``x`` (N, R), one for each λ of ``ridges``, all above 0.

        One eigendecomposition of the Gram matrix serves all of them.
        """
        y = F.one_hot(labels, k).to(x)
        middle, mean, n = x.mean(0), y.mean(0), len(x)
        x_c, y_c = x - middle, y - mean
        values, vectors = torch.linalg.eigh(x_c @ x_c.T)
        values, turned = values.clamp_min(0), vectors.T @ y_c
        out = []
        for ridge in ridges:
            dual = vectors @ (turned / (values + ridge)[:, None])
            weight = dual.T @ x_c
            hat = (vectors.square() * (values / (values + ridge))).sum(1) + 1 / n  # on itself, the free bias included
            left_out = y - (y - x_c @ weight.T - mean) / (1 - hat).clamp_min(1e-9)[:, None]
            out.append(cls(weight, mean - weight @ middle, left_out))
        return out

    def score(self, labels: Tensor) -> tuple[float, float]:
        """Share of ``labels`` (N,) that are answered rightly where the image is left out; minus the squared error."""
        right = float((self.left_out.argmax(1) == labels).double().mean())
        y = F.one_hot(labels, self.left_out.shape[1]).to(self.left_out)
        return right, -float((self.left_out - y).square().mean())


class OnFeatures(Predictor):
    """A linear head on a classifier's features at one depth.

    Args:
        classifier: whose features.
        depth: stage, or None for the embedding.
        places: side of the grid that activations are averaged in.
        width: D.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, classifier: Classifier, depth: int | None, places: int, width: int) -> None:
        super().__init__()
        self.classifier, self.depth, self.places, self.width = classifier, depth, places, width
        self.register_buffer("weight", torch.zeros(classifier.k, width, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(classifier.k, dtype=torch.float64))

    def arguments(self) -> dict[str, Any]:
        return {"depth": self.depth, "places": self.places, "width": self.width}

    def describe(self) -> dict[str, Any]:
        return {"depth": "embedding" if self.depth is None else self.depth}

    def set(self, weight: Tensor, bias: Tensor) -> OnFeatures:
        """This predictor with W (K, D) and b (K,)."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        return self

    def predict(self, images: Tensor) -> Tensor:
        features = at_depth(self.classifier, images, self.depth, self.places).double()
        return (features @ self.weight.to(features.device).T + self.bias.to(features.device)).float()
