"""``digits``: the 1797 real handwritten digits that scikit-learn carries, enlarged, white on black.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository (1998).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from bench.contracts import DataSource
from bench.datasets.base import Dataset, channels_first

CLASSES = tuple("0123456789")
_BRIGHTEST = 16  # the source counts ink in 4×4 blocks: 0 to 16


def greys(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The strokes, (1797, size, size) uint8, bright on 0, and their labels (1797,) int64."""
    source = load_digits()
    small = np.rint(source.images * (255 / _BRIGHTEST)).astype(np.uint8)
    # Pillow resizes 8-bit images in fixed point: the same pixels on every machine.
    large = [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)) for image in small]
    return np.stack(large), source.target.astype(np.int64)


@lru_cache(maxsize=2)
def build(size: int) -> Dataset:
    """All 1797 digits as grey (3, size, size) images."""
    grey, labels = greys(size)
    images = channels_first(np.repeat(grey[..., None], 3, axis=3))
    return Dataset("digits", images, torch.from_numpy(labels), CLASSES)


class Digits(DataSource):
    """1797 handwritten digits, white on black (scikit-learn's optical digits), 10 classes."""

    title = "digits"
    paper = "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998"
    licence = "CC BY 4.0 (UCI)"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size)
