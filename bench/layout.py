"""How a network's activations lie in memory: channels last is what the matrix units of a GPU take as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def is_convolutional(model: nn.Module) -> bool:
    """Whether ``model`` has more than one 2-D convolution: a transformer has one, which cuts patches."""
    return sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 1


def last(images: Tensor) -> Tensor:
    """``images`` (N, C, H, W), equal in value, with the channels of a pixel side by side in memory."""
    return images.contiguous(memory_format=torch.channels_last)


@contextmanager
def channels_last(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Where ``on``, the weights of convolutions lie channels last in this block, and as they did after it."""
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)] if on else []
    for weight in weights:
        weight.data = last(weight.data)
    try:
        yield
    finally:
        for weight in weights:
            weight.data = weight.data.contiguous()
