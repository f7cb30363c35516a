"""``fonts``: the ten digits set in typefaces, at random colour, place, size, turn and ground.

Typefaces are those that matplotlib carries and the miniature pack leaves alone.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from bench.contracts import DataSource
from bench.datasets.base import Dataset, channels_first, to_uint8
from bench.datasets.digits import CLASSES
from bench.datasets.textures import patterns
from bench.seeds import derive

PER_CLASS = 200
TYPEFACES = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSansMono-Oblique.ttf", "cmr10.ttf", "cmb10.ttf",
    "cmtt10.ttf", "cmti10.ttf",
)  # fmt: skip
_OVER = 4  # supersampling


@cache
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), pixels)


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int) -> Dataset:
    """2000 images, 200 a class, classes in turn. ``generator_seed`` moves all that is drawn, not the labels."""
    labels = np.tile(np.arange(len(CLASSES)), PER_CLASS)
    rng = np.random.default_rng(derive("fonts", generator=generator_seed))
    strokes = np.stack([_digit(CLASSES[label], size, rng) for label in labels])[..., None]
    ground, ink = _colours(len(labels), rng)
    strength = np.where(rng.random((len(labels), 1, 1, 1)) < 0.4, rng.uniform(0.05, 0.2, (len(labels), 1, 1, 1)), 0)
    back = (ground + strength.astype(np.float32) * patterns(len(labels), size, rng)).clip(0, 1)
    images = channels_first(to_uint8(back * (1 - strokes) + ink * strokes))
    return Dataset("fonts", images, torch.from_numpy(labels), CLASSES)


def _digit(text: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel the digit covers, (size, size) float32 in [0, 1]."""
    side = size * _OVER
    font = _font(TYPEFACES[int(rng.integers(len(TYPEFACES)))], int(side * rng.uniform(0.75, 1.1)))
    canvas = Image.new("L", (side, side), 0)
    middle = (side * (0.5 + rng.uniform(-0.07, 0.07)), side * (0.5 + rng.uniform(-0.07, 0.07)))
    ImageDraw.Draw(canvas).text(middle, text, fill=255, font=font, anchor="mm")
    turned = canvas.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BILINEAR)
    return np.asarray(turned.reduce(_OVER), np.float32) / 255


def _colours(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ground and ink, (n, 1, 1, 3) float32 each, at least 0.45 apart in mean brightness."""
    ground, ink = rng.uniform(0, 1, (n, 3)), rng.uniform(0, 1, (n, 3))
    while (close := np.abs(ground.mean(1) - ink.mean(1)) < 0.45).any():
        ground[close], ink[close] = rng.uniform(0, 1, (2, int(close.sum()), 3))
    return ground[:, None, None].astype(np.float32), ink[:, None, None].astype(np.float32)


class Fonts(DataSource):
    """2000 digits set in eleven typefaces, varied in colour, place, turn and ground, 10 classes."""

    title = "fonts"
    paper = "ours"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, generator_seed)
