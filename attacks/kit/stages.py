"""The activations of a classifier's stages, and their style: mean and deviation of each channel."""

from __future__ import annotations

from torch import Tensor

from bench.contracts import Classifier


def with_stages(model: Classifier, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs (N, K + extra), and the activation after each stage, in one pass."""
    stages: list[Tensor] = []

    def tap(_stage: int, activation: Tensor) -> Tensor:
        stages.append(activation)
        return activation

    return model(images, edit_stage=tap), stages


def style(activation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel over an image's positions, in a shape that broadcasts over ``activation``.

    (N, C, 1, 1) for maps (N, C, h, w), (N, 1, C) for tokens (N, tokens, C).
    """
    over = (2, 3) if activation.ndim == 4 else (1,)
    mean = activation.mean(over, keepdim=True)
    return mean, ((activation - mean).square().mean(over, keepdim=True) + 1e-5).sqrt()
