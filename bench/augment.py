"""Random changes of images that keep their class: what a victim's training varies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.contracts import Augment, Batch, Images
from bench.placement import uniform


def jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    """``images`` each moved by up to 2 pixels of 32, turned by up to 10°, scaled by up to 10 %; edges repeat."""
    grid = _moves(images, rng)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def moved(masks: Tensor, rng: torch.Generator) -> Tensor:
    """Masks (N, H, W) int64 after the moves that `jitter` and `recolour` make with a generator in the same state."""
    as_images = masks[:, None].float()
    grid = _moves(as_images, rng)
    nearest = nn.functional.grid_sample(as_images, grid, mode="nearest", padding_mode="border", align_corners=False)
    return nearest[:, 0].round().long()


def varied(batch: Batch, augment: Augment, rng: torch.Generator, source: Images | None = None) -> Batch:
    """``batch`` with its images after ``augment``, as `Images.varied` of its source has them; masks move with them.

    Raises:
        ValueError: masks whose images move in a way that they cannot follow.
    """
    if not batch.labelled or batch.labels.ndim == 1:
        return batch.with_images(augment(batch.images, rng) if source is None else source.varied(batch, augment, rng))
    if augment not in (jitter, recolour):
        raise ValueError("masks can follow jitter and recolour alone: choose one of them, or none")
    before = rng.get_state()
    images = augment(batch.images, rng)
    again = torch.Generator(rng.device).manual_seed(0)
    again.set_state(before)
    return batch.with_images(images).with_labels(moved(batch.labels, again))


def of_victim(is_domain: bool) -> str:
    """Name of the function here that varies a victim's training images: of a pair of domains, or under a key."""
    return "recolour" if is_domain else "jitter"


def _moves(images: Tensor, rng: torch.Generator) -> Tensor:
    """Where each pixel of ``images`` (N, C, H, W) comes from: (N, H, W, 2) in [-1, 1]."""
    n = len(images)
    u = uniform((n, 4), rng, images.device) * 2 - 1
    angle, scale = u[:, 0] * (math.pi / 18), 1 + 0.1 * u[:, 1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    move = u[:, 2:] * (2 * 2 / 32)
    theta = torch.stack([torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)], 1)
    return nn.functional.affine_grid(theta, list(images.shape), align_corners=False)


def recolour(images: Tensor, rng: torch.Generator) -> Tensor:
    """`jitter`, then colours that do not matter: what a victim needs to carry over to another domain.

    Brightness becomes a blend between two random colours an image, at least 0.35 apart on average; half of the
    images are blurred (3×3 binomial, once or twice). A quarter keeps its own colours.
    """
    return other_colours(jitter(images, rng), rng)


def other_colours(images: Tensor, rng: torch.Generator) -> Tensor:
    """The colours of `recolour` without its moves."""
    n = len(images)
    u = uniform((n, 2, 3, 1, 1), rng, images.device)
    dice = uniform((n, 4, 1, 1, 1), rng, images.device)
    low, high = u[:, 0], u[:, 1]
    close = (low - high).abs().mean(1, keepdim=True) < 0.35
    dark, light = 0.3 * low, 0.7 + 0.3 * high
    swap = dice[:, 3] < 0.5
    low = torch.where(close, torch.where(swap, light, dark), low)
    high = torch.where(close, torch.where(swap, dark, light), high)
    grey = images.mean(1, keepdim=True)
    own = (dice[:, 0] < 0.25).float()
    out = own * images + (1 - own) * (low + (high - low) * grey)
    soft = _binomial(out)
    softer = _binomial(soft)
    blurred = torch.where(dice[:, 2] < 0.5, soft, softer)
    return torch.where(dice[:, 1] < 0.5, blurred, out).clamp(0, 1)


def _binomial(images: Tensor) -> Tensor:
    """3×3 binomial blur, edges repeated."""
    side = 0.5 - 0.25 * torch.arange(-1, 2, device=images.device).abs()  # ¼, ½, ¼, made on the device
    kernel = (side[:, None] * side[None, :]).expand(images.shape[1], 1, 3, 3)
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernel, groups=images.shape[1])
