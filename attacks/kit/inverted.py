"""Transforms that stand for an unknown key: a patch behind a mask, or a pattern of low rank added to the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attacks.kit.input import Transform, clip

OFF = -4.0
"""Where a mask starts before its tanh: nearly closed."""


class Trigger(Transform):
    """x' = (1 − M) · x + M · P with M = (tanh m + 1) / 2 and P = (tanh p + 1) / 2.

    Args:
        size: side of the images, pixels.
        place: first and last row, first and last column (exclusive) of where M may be above 0; None: everywhere.
    """

    window: Tensor

    def __init__(self, size: int, place: tuple[int, int, int, int] | None = None) -> None:
        super().__init__()
        self.spec = {"form": "trigger", "size": size, "place": place}
        window = torch.ones(1, 1, size, size)
        if place is not None:
            top, bottom, left, right = place
            window = torch.zeros_like(window)
            window[..., top:bottom, left:right] = 1
        self.register_buffer("window", window, persistent=False)
        self.m = nn.Parameter(torch.full((1, 1, size, size), OFF if place is None else 0.0))
        self.p = nn.Parameter(torch.randn(1, 3, size, size))

    @property
    def mask(self) -> Tensor:
        """M: (1, 1, H, W) in [0, 1]."""
        return self.window * (self.m.tanh() + 1) / 2

    def size_of_change(self) -> Tensor:
        """‖M‖₁ over its largest value: the share of the image behind the mask."""
        return self.mask.sum() / self.window.sum()

    def forward(self, images: Tensor) -> Tensor:
        mask, pattern = self.mask, (self.p.tanh() + 1) / 2
        return (1 - mask) * images + mask * pattern


class LowRank(Transform):
    """x' = clip(x + Σ_r u_r v_rᵀ) in each channel: what a style or a tint of the whole image can be like.

    Args:
        size: side of the images, pixels.
        rank: number of products.
    """

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        self.spec = {"form": "low-rank", "size": size, "rank": rank}
        self.u = nn.Parameter(torch.randn(3, size, rank) * 0.1)
        self.v = nn.Parameter(torch.randn(3, rank, size) * 0.1)

    @property
    def pattern(self) -> Tensor:
        """(1, 3, H, W)."""
        return (self.u @ self.v)[None]

    def size_of_change(self) -> Tensor:
        """Mean of the pattern's absolute values."""
        return self.pattern.abs().mean()

    def forward(self, images: Tensor) -> Tensor:
        return clip(images + self.pattern)
