"""One mask file as square class numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.contracts import IGNORED
from bench.datasets.decoding import Unreadable, formats, upright_size

RARE = 5
"""Images of a main class, at least, for a stratum of its own: one a split."""
_MODES = ("P", "L", "1")


def read(path: Path, image: Path, size: int, ignore: int) -> np.ndarray:
    """The mask ``path`` of the file ``image``, cut as `decoding.read` cuts images; no value is mixed with another.

    Args:
        path: a palette or grey image: its values are class numbers.
        image: the image that it belongs to, of the same size once it is upright.
        size: side of the result, pixels.
        ignore: the value of pixels that are left out.

    Returns:
        (size, size) uint8; `IGNORED` where the file has ``ignore``.

    Raises:
        Unreadable: a colour image, one of another size than its image, or a value of more than a byte.
        Exception: of nearly any kind on a broken file; `decoding.reason` puts it in words.
    """
    with Image.open(path, formats=formats()) as opened:
        opened.load()
        values = _values(opened)
    wanted = upright_size(image)
    if values.size != wanted:
        mine, other = ("×".join(map(str, each)) for each in (values.size, wanted))
        raise Unreadable(f"{mine} pixels, its image {other}")
    square = np.asarray(ImageOps.fit(values, (size, size), Image.Resampling.NEAREST))
    if ignore == IGNORED:
        return square
    if (square == IGNORED).any():
        raise Unreadable(f"the value {IGNORED}, which no class can have")
    return np.where(square == ignore, IGNORED, square).astype(np.uint8)


def _values(image: Image.Image) -> Image.Image:
    """The values of a palette or grey image as one of 8 bits."""
    if image.mode in _MODES or image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > IGNORED:
            raise Unreadable(f"the value {int(values.max())}, and a class number is at most {IGNORED - 1}")
        return Image.fromarray(values.astype(np.uint8))
    raise Unreadable("a colour image; a mask is palette or grey")


def strata(main: np.ndarray, classes: int) -> np.ndarray:
    """Main classes (N,) int64 with those of fewer than `RARE` images counted to the most frequent one.

    Splits are stratified by them, and a class with fewer images than there are splits would fill some and leave others.
    """
    counts = np.bincount(main, minlength=classes)
    return np.where(counts[main] < RARE, counts.argmax(), main)
