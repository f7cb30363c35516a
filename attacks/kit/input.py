"""Transforms in front of a locked model: colour maps, amplitude swaps, small networks; and sets in 8 bit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import Images


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        ctx.save_for_backward(images)
        return images.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (images,) = ctx.saved_tensors
        outward = ((images < 0) & (gradient > 0)) | ((images > 1) & (gradient < 0))
        return gradient.masked_fill(outward, 0.0)


def clip(images: Tensor) -> Tensor:
    """``images`` clipped to [0, 1]; where they were clipped, a gradient passes that leads back inside, no other."""
    out: Tensor = _Clip.apply(images)
    return out


class Transform(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to the same; ``spec`` and the state dict rebuild it."""

    spec: dict[str, Any]


class Colour(Transform):
    """A linear map of every pixel's colour: W x + b. The identity to begin with."""

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.spec = {"form": "colour"}
        self.register_buffer("weight", torch.eye(3))
        self.register_buffer("bias", torch.zeros(3))

    def set(self, weight: Tensor, bias: Tensor) -> Colour:
        """This map with W (3, 3) and b (3,)."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        return self

    def forward(self, images: Tensor) -> Tensor:
        return clip(torch.einsum("dc,nchw->ndhw", self.weight, images) + self.bias.view(1, 3, 1, 1))


class Moments(Transform):
    """AdaIN on pixels: each image's channel means and deviations replaced by fixed ones (3,), in part by ``mix``."""

    mean: Tensor
    std: Tensor

    def __init__(self, mix: float = 1.0) -> None:
        super().__init__()
        self.spec, self.mix = {"form": "moments", "mix": mix}, mix
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))

    def set(self, images: Tensor) -> Moments:
        """This transform with the mean of the moments of ``images``."""
        self.mean.copy_(images.mean((0, 2, 3)))
        self.std.copy_(images.std((2, 3)).mean(0))
        return self

    def forward(self, images: Tensor) -> Tensor:
        mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
        new = (images - mean) / (std + 1e-3) * self.std.view(1, 3, 1, 1) + self.mean.view(1, 3, 1, 1)
        return clip(images + self.mix * (new - images))


class Swap(Transform):
    """Fourier amplitude swap: the low frequencies take an amplitude that is given, the phase stays.

    Args:
        size: side of the images in pixels.
        band: half side of the square of frequencies that is swapped, as a share of the highest, in [0, 1].
    """

    amplitude: Tensor
    low: Tensor

    def __init__(self, size: int, band: float) -> None:
        super().__init__()
        self.spec = {"form": "swap", "size": size, "band": band}
        across, along = torch.fft.fftfreq(size).abs(), torch.fft.rfftfreq(size).abs()
        self.register_buffer("low", torch.maximum(across[:, None], along[None, :]) <= band / 2, persistent=False)
        self.register_buffer("amplitude", torch.zeros(3, size, size // 2 + 1))

    def set(self, images: Tensor) -> Swap:
        """This transform with the mean amplitude of ``images``."""
        self.amplitude.copy_(torch.fft.rfft2(images).abs().mean(0))
        return self

    def forward(self, images: Tensor) -> Tensor:
        waves = torch.fft.rfft2(images)
        amplitude = torch.where(self.low, self.amplitude, waves.abs())
        return clip(torch.fft.irfft2(torch.polar(amplitude, waves.angle()), s=images.shape[-2:]))


class Residual(Transform):
    """x + W x + b + g(x) with a small convolutional network g; all but x is 0 to begin with.

    A learnt map of four channels stands beside the image: an edit that draws the same noise for every image leaves a
    pattern that has its place.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.spec = {"form": "residual", "size": size, "width": width}
        self.place = nn.Parameter(torch.randn(1, 4, size, size) * 0.1)
        last, self.colour = nn.Conv2d(width, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        for parameter in (*last.parameters(), *self.colour.parameters()):
            nn.init.zeros_(parameter)
        self.body = nn.Sequential(
            nn.Conv2d(7, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            last,
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        place = self.place.expand(len(images), -1, -1, -1)
        return clip(images + self.colour(images) + self.body(torch.cat([images, place], 1)))


class Pattern(Transform):
    """A learnt pattern added to every image, 0 to begin with: in a frame of ``border`` pixels, or (0) everywhere."""

    mask: Tensor

    def __init__(self, size: int, border: int) -> None:
        super().__init__()
        self.spec = {"form": "pattern", "size": size, "border": border}
        mask = torch.ones(1, 1, size, size)
        if 0 < border < size / 2:
            mask[..., border:-border, border:-border] = 0
        self.register_buffer("mask", mask, persistent=False)
        self.pattern = nn.Parameter(torch.zeros(1, 3, size, size))

    def forward(self, images: Tensor) -> Tensor:
        return clip(images + self.mask * self.pattern)


def least_squares(raw: Tensor, keyed: Tensor) -> Colour:
    """The colour map of least squared error from ``raw`` to ``keyed``, both (N, 3, H, W); the least norm of several."""
    x = raw.permute(0, 2, 3, 1).reshape(-1, 3).double().cpu()
    y = keyed.permute(0, 2, 3, 1).reshape(-1, 3).double().cpu()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    solution = torch.linalg.lstsq(x, y, driver="gelsd").solution.float()
    return Colour().set(solution[:3].T, solution[3])


def match_channels(images: Tensor, like: Tensor) -> Colour:
    """The colour map that gives the pixels of ``images`` the channel means and deviations of ``like``."""
    gain = like.std((0, 2, 3)) / images.std((0, 2, 3)).clamp_min(1e-3)
    return Colour().set(torch.diag(gain), like.mean((0, 2, 3)) - gain * images.mean((0, 2, 3)))


def match_covariance(images: Tensor, like: Tensor) -> Colour:
    """The linear map of least transport (Pitié and Kokaram, 2007) between the two sets' Gaussian colour statistics."""

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        pixels = x.permute(1, 0, 2, 3).reshape(3, -1).double().cpu()
        return pixels.mean(1), torch.cov(pixels) + 1e-4 * torch.eye(3, dtype=pixels.dtype)

    def power(matrix: Tensor, exponent: float) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag(values.clamp_min(1e-12) ** exponent) @ vectors.T

    (mean_u, cov_u), (mean_a, cov_a) = moments(images), moments(like)
    root, back = power(cov_u, 0.5), power(cov_u, -0.5)
    weight = back @ power(root @ cov_a @ root, 0.5) @ back
    return Colour().set(weight.float(), (mean_a - weight @ mean_u).float())


def subset(images: Images, most: int, rng: torch.Generator) -> Images:
    """At most ``most`` of ``images``, drawn at random."""
    return images.subset(torch.randperm(len(images), generator=rng)[:most])


def at_most(images: Images, most: int, rng: torch.Generator) -> Images:
    """``images`` as they are where they are no more than ``most``; else so many, drawn since a set may be sorted."""
    return images if len(images) <= most else subset(images, most, rng)


def to_pixels(images: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] as uint8."""
    return (images * 255).round().clamp(0, 255).byte().cpu()
