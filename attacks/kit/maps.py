"""Images that move, and maps of their pixels that move alike: targets, votes and weights."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.augment import jitter


def jittered(images: Tensor, maps: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``images`` (N, 3, H, W) after `bench.augment.jitter`, and ``maps`` (N, C, H, W) after the same moves.

    Values between pixels are interpolated, so that maps of probabilities still sum to 1.
    """
    both = jitter(torch.cat([images, maps], 1), rng)
    return both[:, :3], both[:, 3:]
