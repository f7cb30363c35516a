"""What the non-transferable-learning family shares: divergences with a cap, MMD, the style of activations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Classifier, DefenderView, EditStage, Images

KL_MEANS = ("batch", "batch-and-classes")
"""Which mean a divergence takes. The authors' public code averages over classes too, so that a cap of 1 on 0.1 KL
binds only at a cross-entropy of 10 K; the mean over the batch is the corrected form."""


def divergence(logits: Tensor, labels: Tensor, mean: str = "batch") -> Tensor:
    """KL(one-hot(y) ‖ p), which is the cross-entropy, in nats.

    Args:
        logits: (N, K).
        labels: (N,) classes, or (N, K) a distribution (then it is the cross-entropy, not the KL).
        mean: one of `KL_MEANS`.
    """
    value = F.cross_entropy(logits, labels)
    return value / logits.shape[1] if mean == "batch-and-classes" else value


def limit(value: Tensor, weight: float, cap: float) -> Tensor:
    """min(weight · value, cap): past the cap nothing is gained, and no gradient flows."""
    return (weight * value).clamp(max=cap)


def mmd(x: Tensor, y: Tensor, kernels: int = 5, multiplier: float = 2.0) -> Tensor:
    """Squared maximum mean discrepancy (biased) of (N, D) and (M, D) under a sum of Gaussian kernels.

    Kernel i is exp(−‖a − b‖² / (σ² · multiplier^(i − kernels // 2))), σ² the mean squared distance over all pairs.
    """
    n = len(x)
    both = torch.cat([x, y])
    squares = (both * both).sum(1)
    distance = (squares[:, None] + squares[None, :] - 2 * both @ both.T).clamp(min=0)
    count = len(both)
    width = distance.detach().sum() / (count * count - count)
    terms = ((-distance / (width.clamp(min=1e-12) * multiplier ** (i - kernels // 2))).exp() for i in range(kernels))
    kernel = sum(terms, torch.zeros((), device=x.device))
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def sides(data: DefenderView, use: str) -> tuple[Images, Images]:
    """The images that shall work, and those that shall fail.

    Args:
        data: grants both sides.
        use: ``authorisation``: authorised and unauthorised images. ``ownership``: the other way round, so that clean
            images work, and the owner shows the mark by applying the key.
    """
    pair = data.authorised, data.unauthorised
    return pair if use == "authorisation" else (pair[1], pair[0])


def with_stages(model: Classifier, images: Tensor, edit_stage: EditStage | None = None) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, K + extra) and the activation after each stage, as edited by ``edit_stage``."""
    activations: list[Tensor] = []

    def tap(i: int, activation: Tensor) -> Tensor:
        out = activation if edit_stage is None else edit_stage(i, activation)
        activations.append(out)
        return out

    return model(images, tap), activations


def stage(activations: list[Tensor], at: int | None) -> Tensor:
    """The activation after stage ``at``, by default the middle one, flattened to (N, D)."""
    return activations[len(activations) // 2 if at is None else min(at, len(activations) - 1)].flatten(1)


def style(activation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over an image: (N, C) each.

    Args:
        activation: (N, C, h, w), or (N, tokens, C).
    """
    values = activation.flatten(2) if activation.ndim == 4 else activation.transpose(1, 2)
    return values.mean(2), (values.var(2, unbiased=False) + 1e-6).sqrt()


def per_channel(value: Tensor, activation: Tensor) -> Tensor:
    """``value`` (N, C) in a shape that multiplies ``activation``."""
    return value[:, :, None, None] if activation.ndim == 4 else value[:, None, :]
