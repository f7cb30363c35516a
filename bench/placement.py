"""Tensors on their way to a device, and random numbers that are drawn there: neither waits for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SHARE = 0.5
"""Of a GPU's free memory: what a set of images may take to live there."""


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; to a GPU it goes through pinned memory, and nobody waits for it to arrive."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A generator on ``device`` where that is a GPU, else on the CPU: their numbers differ for equal seeds."""
    return torch.Generator(device if device.type == "cuda" else "cpu").manual_seed(seed)


def uniform(shape: Sequence[int], rng: torch.Generator, device: torch.device) -> Tensor:
    """Numbers of [0, 1) in ``shape``, float32, drawn where ``rng`` lives and sent to ``device``."""
    return sent(torch.rand(tuple(shape), generator=rng, device=rng.device), device)


def unit(pixels: Tensor) -> Tensor:
    """Pixels uint8 as float32 in [0, 1], where they are; the same bits on every device."""
    # By a number a GPU multiplies with the reciprocal, which rounds otherwise; by a tensor it divides.
    return pixels.float() / torch.full((), 255.0, device=pixels.device)


def fits(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes may live on ``device``: at most `SHARE` of the free memory of a GPU."""
    if device.type != "cuda":
        return True
    free, _all = torch.cuda.mem_get_info(device)
    return size <= SHARE * free
