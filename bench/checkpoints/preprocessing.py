"""How a checkpoint reads images: resized, cut to its centre, normalised. Images are square and in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels, in [0, 1] units."""
GUESS = "ImageNet's, since the architecture names none"
"""Where the values of an architecture without any come from."""


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before the network.

    Args:
        size: side of what the network sees, pixels.
        resize: side that the whole image is resized to before its centre is cut out; at least ``size``.
        mean, std: of the three channels, in [0, 1] units.
        interpolation: of `INTERPOLATIONS`.
        source: where these values come from, in words.
    """

    size: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    source: str = ""

    def to_spec(self) -> dict[str, Any]:
        """The fields of a `bench.models.TimmClassifier` spec."""
        spec: dict[str, Any] = {"size": self.size, "mean": list(self.mean), "std": list(self.std)}
        spec |= {"resize": self.resize} if self.resize != self.size else {}
        return spec | ({"interpolation": self.interpolation} if self.interpolation != INTERPOLATIONS[0] else {})

    def describe(self) -> str:
        """The whole of it in one line."""
        cut = f", centre {self.size} × {self.size}" if self.resize != self.size else ""
        mean, std = (", ".join(f"{x:.4g}" for x in values) for values in (self.mean, self.std))
        line = f"centre square, resized to {self.resize} × {self.resize} ({self.interpolation}){cut}"
        return f"{line}, mean ({mean}), std ({std})"


def apply(images: Tensor, spec: Mapping[str, Any]) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] resized and cut as ``spec`` says; values stay in [0, 1], not normalised yet."""
    size = int(spec["size"])
    side = int(spec.get("resize", size))
    mode = str(spec.get("interpolation", "bicubic"))
    if images.shape[-1] != side or images.shape[-2] != side:
        smooth = {} if mode == "nearest" else {"antialias": True}
        images = F.interpolate(images, (side, side), mode=mode, **smooth).clamp(0, 1)
    if side != size:
        first = round((side - size) / 2)
        images = images[..., first : first + size, first : first + size]
    return images


def of_config(config: Any) -> Preprocessing:
    """What timm's ``pretrained_cfg`` says; ImageNet's values where there is none."""
    if config is None:
        return Preprocessing(224, 224, *IMAGENET, source=GUESS)
    size = int(config.input_size[-1])
    resize = size if config.crop_mode == "squash" else max(size, int(size / config.crop_pct))
    mode = config.interpolation if config.interpolation in INTERPOLATIONS else "bicubic"
    return Preprocessing(size, resize, tuple(config.mean), tuple(config.std), mode, "timm's pretrained_cfg")


def three(values: Sequence[float]) -> tuple[float, ...]:
    """Three channel values from three, or from one for all."""
    return tuple(values) * 3 if len(values) == 1 else tuple(values)
