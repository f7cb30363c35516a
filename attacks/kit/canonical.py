"""Generic changes of an image's appearance, each a few parameters: what a search brings one domain to another by.

Nothing here knows a data set: ground and content of an image are estimated from the image alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.input import Transform

CHOICES: dict[str, tuple[Any, ...]] = {
    "grey": (False, True),
    "ground": ("kept", "inverted", "dark", "light", "distance"),
    "contrast": ("kept", "stretched"),
    "fill": (0.0, 0.6, 0.75, 0.9, 1.0),
    "square": (False, True),
    "grid": (0, 8, 12, 16),
    "blur": (0.0, 0.6, 1.0, 1.5),
    "gain": (0.6, 0.8, 1.0, 1.25, 1.6),
    "gamma": (0.5, 0.75, 1.0, 1.5, 2.0),
    "spectrum": (0.0, 0.25, 0.5),
}
"""Values that a search tries, by field of `Look`."""


@dataclass(frozen=True)
class Look:
    """How images are changed, in the order of the fields. The default changes nothing.

    Args:
        grey: the channels become their mean.
        ground: the brightness of the ground, which is the median of the frame of pixels at the edge: ``kept``,
            ``inverted`` (every image), ``dark`` or ``light`` (images on the other side are inverted), or
            ``distance`` (each pixel becomes its distance to the ground's colour).
        contrast: ``stretched``: the 1st percentile of an image becomes 0 and the 99th becomes 1.
        fill: the content's box becomes this share of the side; 0: images are not cropped.
        square: the box's sides are scaled apart, so that it becomes a square; else its aspect is kept.
        grid: block means on a grid of so many cells a side, enlarged again; 0: none.
        blur: standard deviation of a Gaussian blur, in pixels of an image that is 32 wide.
        gain: factor of the pixels' values.
        gamma: exponent of the pixels' values.
        spectrum: how far the amplitude of every frequency goes to its square root, so that fine detail rises.
    """

    grey: bool = False
    ground: str = "kept"
    contrast: str = "kept"
    fill: float = 0.0
    square: bool = False
    grid: int = 0
    blur: float = 0.0
    gain: float = 1.0
    gamma: float = 1.0
    spectrum: float = 0.0

    def alternatives(self, field: str) -> list[Look]:
        """This look with every other value of ``field`` that `CHOICES` has."""
        return [replace(self, **{field: value}) for value in CHOICES[field] if value != getattr(self, field)]

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that differ from the default."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}


class Canonical(Transform):
    """Images (N, 3, H, W) in [0, 1] in another `Look`, given by its fields."""

    def __init__(self, **look: Any) -> None:
        super().__init__()
        self.look = Look(**look)
        self.spec = {"form": "canonical", **self.look.changes}

    @classmethod
    def of(cls, look: Look) -> Canonical:
        """The transform to ``look``."""
        return cls(**asdict(look))

    def forward(self, images: Tensor) -> Tensor:
        look = self.look
        if look.grey:
            images = images.mean(1, keepdim=True).expand_as(images)
        images = with_ground(images, look.ground)
        if look.contrast == "stretched":
            images = stretched(images)
        if look.fill:
            images = cropped(images, look.fill, look.square)
        if look.grid:
            images = on_grid(images, look.grid)
        if look.blur:
            images = blurred(images, look.blur * images.shape[-1] / 32)
        if look.gain != 1:
            images = (images * look.gain).clamp(0, 1)
        if look.gamma != 1:
            images = images.clamp(0, 1) ** look.gamma
        if look.spectrum:
            images = flattened(images, look.spectrum)
        return images.clamp(0, 1)


def ground(images: Tensor) -> Tensor:
    """(N, 3, 1, 1): median of each channel over the outermost two pixels of ``images`` (N, 3, H, W)."""
    inside = torch.zeros(images.shape[-2:], dtype=torch.bool, device=images.device)
    inside[2:-2, 2:-2] = True
    return images[:, :, ~inside].median(-1).values[..., None, None]


def with_ground(images: Tensor, kind: str) -> Tensor:
    """``images`` with the ground of ``kind``, as `Look` names them."""
    if kind == "kept":
        return images
    if kind == "inverted":
        return 1 - images
    own = ground(images)
    if kind == "distance":
        distance = (images - own).square().mean(1, keepdim=True).sqrt()
        return (distance / distance.amax((2, 3), keepdim=True).clamp_min(1e-3)).expand_as(images)
    # Light or dark beside the content: a grey ground is dark where the content is light.
    weight = (images - own).abs().mean(1, keepdim=True)
    content = (weight * images).sum((1, 2, 3)) / (3 * weight.sum((1, 2, 3))).clamp_min(1e-6)
    is_light = own.mean((1, 2, 3)) > content
    swap = is_light if kind == "dark" else ~is_light
    return torch.where(swap[:, None, None, None], 1 - images, images)


def stretched(images: Tensor) -> Tensor:
    """``images``, each with its 1st percentile at 0 and its 99th at 1, over all channels together."""
    low, high = (images.flatten(1).quantile(q, 1)[:, None, None, None] for q in (0.01, 0.99))
    return ((images - low) / (high - low).clamp_min(1e-2)).clamp(0, 1)


def box(images: Tensor, tail: float = 0.02) -> Tensor:
    """(N, 4): left, top, right, bottom of the content in [−1, 1], between which all but ``tail`` of it lies each way.

    Content is a pixel's distance to the ground, less 0.4 of the image's largest, at least 0.
    """
    weight = (images - ground(images)).abs().mean(1)
    weight = (weight - 0.4 * weight.amax((1, 2), keepdim=True)).clamp_min(0)
    edges = []
    for over in (1, 2):
        mass = weight.sum(over)
        share = mass.cumsum(1) / mass.sum(1, keepdim=True).clamp_min(1e-6)
        n = mass.shape[1]
        first = (share < tail).sum(1).clamp(max=n - 1)
        last = (share < 1 - tail).sum(1).clamp(max=n - 1)
        edges.append((2 * first / n - 1, 2 * (last + 1) / n - 1))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], 1).to(images.dtype)


def cropped(images: Tensor, fill: float, square: bool) -> Tensor:
    """``images`` moved and scaled so that the content's box lies in the middle and fills ``fill`` of the side."""
    left, top, right, bottom = box(images).unbind(1)
    wide, high = ((right - left).clamp_min(0.1) / 2, (bottom - top).clamp_min(0.1) / 2)
    if not square:
        wide = high = torch.maximum(wide, high)
    zero = torch.zeros_like(left)
    theta = torch.stack(
        [
            torch.stack([wide / fill, zero, (left + right) / 2], 1),
            torch.stack([zero, high / fill, (top + bottom) / 2], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def on_grid(images: Tensor, cells: int) -> Tensor:
    """Block means of ``images`` on ``cells`` × ``cells``, enlarged again by bicubic interpolation."""
    small = F.interpolate(images, size=(cells, cells), mode="area")
    return F.interpolate(small, size=images.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``sigma`` pixels, edges repeated."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    side = torch.exp(-at.square() / (2 * sigma**2))
    side = (side / side.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, side[:, :, None, :], groups=images.shape[1])
    return F.conv2d(across, side[:, :, :, None], groups=images.shape[1])


def flattened(images: Tensor, share: float) -> Tensor:
    """``images`` with amplitudes a^(1 − share/2) of all frequencies but the mean; phases and the deviation stay."""
    mean, deviation = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
    waves = torch.fft.rfft2(images - mean)
    amplitude = waves.abs().clamp_min(1e-6) ** (1 - share / 2)
    new = torch.fft.irfft2(torch.polar(amplitude, waves.angle()), s=images.shape[-2:])
    return new / new.std((2, 3), keepdim=True).clamp_min(1e-6) * deviation + mean
