"""Images that nobody photographed: procedural surrogates, colour filters, and generators with their statistics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models

NOISE = 64
"""Width of the noise that a generator starts from."""


def surrogates(n: int, size: int, rng: torch.Generator, own: Tensor | None = None) -> Tensor:
    """``n`` images (N, 3, S, S) in [0, 1] that are no task's: strokes, blobs, waves, clouds, and mixes of ``own``.

    Each is a blend of two random colours by a grey field, about half of the fields sharp; a part of the pairs of
    colours is black and white.

    Args:
        own: (M, 3, S, S) images of the attacker; where given, a quarter of the surrogates are mosaics of their
            shuffled, flipped quarters.
    """
    kinds = (_strokes, _blobs, _waves, _clouds)
    fields = torch.cat([kind(n // 4 + 1, size, rng) for kind in kinds])
    fields = fields[torch.randperm(len(fields), generator=rng)[:n]]
    u = torch.rand((n, 2, 3, 1, 1), generator=rng)
    plain = (torch.rand((n, 1, 1, 1, 1), generator=rng) < 0.3).float()
    dark = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1).expand_as(u)
    ends = plain * dark + (1 - plain) * u
    swap = torch.rand((n, 1, 1, 1), generator=rng) < 0.3
    low, high = torch.where(swap, ends[:, 1], ends[:, 0]), torch.where(swap, ends[:, 0], ends[:, 1])
    out = low + (high - low) * fields[:, None]
    if own is not None and len(own) > 1:
        mosaics = torch.arange(n) % 4 == 0
        out[mosaics] = _mosaics(own, int(mosaics.sum()), rng)
    return out.clamp(0, 1)


def _grid(size: int) -> Tensor:
    """(S, S, 2) coordinates in [−1, 1]."""
    line = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)


def _strokes(n: int, size: int, rng: torch.Generator) -> Tensor:
    """(N, S, S): one to three quadratic Bézier curves drawn with a round pen: handwriting of no alphabet."""
    t = torch.linspace(0, 1, 16)
    basis = torch.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])  # (3, T)
    points = (torch.rand((n, 3, 3, 2), generator=rng) * 2 - 1) * 0.8
    curves = torch.einsum("ncpd,pt->nctd", points, basis)
    count = torch.randint(1, 4, (n, 1, 1), generator=rng)
    curves = torch.where((torch.arange(3).view(1, 3, 1) < count)[..., None], curves, 9.0).flatten(1, 2)
    away = torch.cdist(_grid(size).view(1, -1, 2).expand(n, -1, -1), curves).amin(-1).view(n, size, size)
    pen = 0.06 + 0.14 * torch.rand((n, 1, 1), generator=rng)
    return torch.sigmoid((pen - away) * size / 2)


def _blobs(n: int, size: int, rng: torch.Generator) -> Tensor:
    """(N, S, S): a superellipse each, round to square."""
    u = torch.rand((n, 6, 1, 1), generator=rng)
    grid, angle = _grid(size), u[:, 0] * math.pi
    y, x = grid[..., 0] - (u[:, 1] - 0.5), grid[..., 1] - (u[:, 2] - 0.5)
    x, y = angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
    power = 1 + 5 * u[:, 3]
    radius = (x.abs() / (0.2 + 0.6 * u[:, 4])) ** power + (y.abs() / (0.2 + 0.6 * u[:, 5])) ** power
    return torch.sigmoid((1 - radius) * 6)


def _waves(n: int, size: int, rng: torch.Generator) -> Tensor:
    """(N, S, S): gratings of random direction, frequency and sharpness."""
    u = torch.rand((n, 4, 1, 1), generator=rng)
    angle, grid = u[:, 0] * math.pi, _grid(size)
    phase = (grid[..., 0] * angle.cos() + grid[..., 1] * angle.sin()) * (2 + 12 * u[:, 1]) + u[:, 2] * 2 * math.pi
    return torch.sigmoid(phase.sin() * (1 + 8 * u[:, 3]))


def _clouds(n: int, size: int, rng: torch.Generator) -> Tensor:
    """(N, S, S): noise of three octaves, stretched over [0, 1]."""
    out = torch.zeros(n, 1, size, size)
    for cells in (3, 6, 12):
        noise = torch.rand((n, 1, cells, cells), generator=rng)
        out = out + F.interpolate(noise, (size, size), mode="bicubic", align_corners=False) * 3 / cells
    flat = out.flatten(1)
    low, high = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    return (out[:, 0] - low) / (high - low).clamp_min(1e-6)


def _mosaics(own: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """(N, 3, S, S): quarters of four images each, at random places and flipped at random."""
    half = own.shape[-1] // 2
    out = torch.empty(n, *own.shape[1:])
    for i in range(4):
        sample = own[torch.randint(len(own), (n,), generator=rng)]
        at = torch.randint(0, own.shape[-1] - half + 1, (2,), generator=rng).tolist()
        part = sample[:, :, at[0] : at[0] + half, at[1] : at[1] + half]
        part = torch.where(torch.rand((n, 1, 1, 1), generator=rng) < 0.5, part, part.flip(-1))
        y, x = (i // 2) * half, (i % 2) * half
        out[:, :, y : y + half, x : x + half] = part
    return out


def colour_filter(images: Tensor, kernel: Tensor, colours: Tensor, share: float) -> Tensor:
    """(1 − share) x + share · recoloured filter response of x, clipped.

    Args:
        images: (N, 3, H, W) in [0, 1].
        kernel: (3, 3, 3, 3) of a convolution over x − 0.5; its response goes through a sigmoid.
        colours: (2, 3, 1, 1), what responses of 0 and of 1 look like.
        share: of the response, in [0, 1].
    """
    response = torch.sigmoid(
        3 * F.conv2d(F.pad(images - 0.5, (1, 1, 1, 1), mode="replicate"), kernel.to(images.device))
    )
    low, high = colours.to(images.device)
    result: Tensor = ((1 - share) * images + share * (low + (high - low) * response)).clamp(0, 1)
    return result


class Generator(nn.Module):
    """Noise (N, NOISE) to images (N, 3, S, S) in (0, 1); cut to S where 8 does not divide it."""

    def __init__(self, size: int, width: int = 48) -> None:
        super().__init__()
        self.size, self.small = size, math.ceil(size / 8)
        self.first = nn.Linear(NOISE, 2 * width * self.small**2)
        blocks: list[nn.Module] = [nn.BatchNorm2d(2 * width)]
        for into, out in ((2 * width, 2 * width), (2 * width, width), (width, width)):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out)]
            blocks.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, 3, 3, padding=1), nn.BatchNorm2d(3, affine=False))

    def forward(self, noise: Tensor) -> Tensor:
        """Images (N, 3, S, S) in (0, 1)."""
        first = self.first(noise)
        images = torch.sigmoid(2 * self.body(first.view(len(noise), -1, self.small, self.small)))
        return images[:, :, : self.size, : self.size]


class ClassGenerator(nn.Module):
    """Noise (N, NOISE) and labels (N,) to images (N, 3, S, S) in (0, 1); cut to S where 8 does not divide it."""

    def __init__(self, k: int, size: int, width: int = 48) -> None:
        super().__init__()
        self.size, self.small = size, math.ceil(size / 8)
        self.label = nn.Embedding(k, NOISE)
        self.first = nn.Linear(NOISE, 2 * width * self.small**2)
        blocks: list[nn.Module] = []
        for into, out in ((2 * width, 2 * width), (2 * width, width), (width, width)):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.SiLU()]
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images (N, 3, S, S) in (0, 1)."""
        first = self.first(noise * self.label(labels))
        images = torch.sigmoid(self.body(first.view(len(noise), -1, self.small, self.small)))
        return images[:, :, : self.size, : self.size]


class NormStatistics:
    """How far batches are from the statistics that a model's batch norms keep; a context of forward hooks.

    The distance at one norm is the mean over channels of (mean − running mean)² / (running variance + 0.001), plus
    that of |variance / (running variance + 0.001) − 1|.

    Args:
        model: observed while the context is open.

    Attributes:
        distances: one scalar for each batch norm of maps (N, C, h, w) and forward pass, in order, since the last
            `clear`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.distances: list[Tensor] = []

    def __enter__(self) -> NormStatistics:
        """Observe the model."""
        self._hooks = [m.register_forward_pre_hook(self._measure) for m in models.batch_norms(self.model)]
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the model alone again."""
        for hook in self._hooks:
            hook.remove()

    def _measure(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x, running_mean, running_var = inputs[0], norm.running_mean, norm.running_var
        if x.ndim != 4 or not (isinstance(running_mean, Tensor) and isinstance(running_var, Tensor)):
            return
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        scale = running_var + 1e-3
        self.distances.append(((mean - running_mean).square() / scale).mean() + (var / scale - 1).abs().mean())

    def clear(self) -> None:
        """Forget the distances."""
        self.distances.clear()

    def mean(self) -> Tensor:
        """The mean of `distances`; 0 where there are none."""
        return torch.stack(self.distances).mean() if self.distances else torch.zeros(())
