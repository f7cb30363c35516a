"""``folder:PATH``: a user's own images, one sub-folder a class.

Everything is read and checked before anything is used: a file that cannot be read is named, and the
run refuses unless the user chose to go on without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from bench.contracts import DataSource
from bench.datasets import listing
from bench.datasets.base import Dataset, channels_first
from bench.datasets.listing import EXTENSIONS, NAMED
from bench.errors import UserError

# Only these: Pillow would hand some other formats to programs outside it.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


@dataclass
class _Walk:
    """What a walk over the folder met; paths relative to it."""

    pixels: list[np.ndarray] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    ignored: int = 0


def build(name: str, root: Path, size: int, skip_bad: bool) -> Dataset:
    """The images directly in each sub-folder of ``root``, classes and files in the order of their names.

    Each is turned upright as its EXIF tag says, made RGB, its shorter side brought to ``size`` (bicubic), and
    the centre cut out; of an animation the first frame. Hidden files and deeper folders are left alone.

    Args:
        name: the task string that becomes the data set's name.
        root: an existing folder.
        size: side of the images, pixels.
        skip_bad: go on without unreadable files; ``notes["skipped"]`` names them.

    Raises:
        UserError: fewer than two classes, a class with fewer than `FEWEST` images, unreadable files without
            ``skip_bad``, or a folder that may not be read.
    """
    classes = listing.classes(root)
    walk = _Walk(ignored=sum(not entry.is_dir() for entry in listing.entries(root)))
    for label, kind in enumerate(classes):
        _read_class(root, kind, label, size, walk)
    if walk.bad and not skip_bad:
        raise UserError(_named(root, walk.bad), "Repair or remove them, or add --skip-bad to go on without them.")
    counts = np.bincount(walk.labels, minlength=len(classes)) if walk.labels else np.zeros(len(classes), int)
    listing.check_counts(root, dict(zip(classes, counts.tolist(), strict=True)))
    notes: dict[str, Any] = {"skipped": [path for path, _ in walk.bad], "ignored": walk.ignored}
    labels = torch.tensor(walk.labels, dtype=torch.int64)
    return Dataset(name, channels_first(np.stack(walk.pixels)), labels, tuple(classes), notes=notes)


def _read_class(root: Path, kind: str, label: int, size: int, walk: _Walk) -> None:
    for entry in listing.entries(root / kind):
        if entry.is_dir():
            continue
        if entry.suffix.lower() not in EXTENSIONS:
            walk.ignored += 1
            continue
        try:
            pixels = _read(entry, size)
        except MemoryError:
            raise
        # Pillow's readers raise nearly anything on broken files; whatever it is, the file is what is wrong.
        except Exception as error:
            walk.bad.append((listing.shown(f"{kind}/{entry.name}"), _reason(entry, error)))
            continue
        walk.pixels.append(pixels)
        walk.labels.append(label)


def _read(path: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    with Image.open(path, formats=_FORMATS) as opened:
        opened.load()
        image = ImageOps.exif_transpose(_eight_bit(opened)).convert("RGB")
    # ImageOps.fit scales and cuts in one resampling, so a long image is not first enlarged whole.
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def _eight_bit(image: Image.Image) -> Image.Image:
    """``image`` with 8 bits a channel; Pillow alone would clip deeper greys to white."""
    if image.mode == "F":
        raise ValueError("its pixels have no known range")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its pixels have no known range")
        return Image.fromarray((deep // 257).astype(np.uint8))
    if image.mode == "P":
        return image.convert("RGBA")  # transparency of a palette has no other way to RGB without a warning
    return image


def _reason(path: Path, error: Exception) -> str:
    try:
        if path.stat().st_size == 0:
            return "empty"
    except OSError:
        pass
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "broken link"
    if isinstance(error, ValueError) and "known range" in str(error):
        return str(error)
    return "truncated" if "truncated" in str(error).lower() else "corrupt"


def _named(root: Path, bad: list[tuple[str, str]]) -> str:
    listed = ", ".join(f"{path} ({reason})" for path, reason in bad[:NAMED])
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    files = "1 image file" if len(bad) == 1 else f"{len(bad)} image files"
    return f"{files} in '{root}' cannot be read: {listed}{more}."


class Folder(DataSource):
    """Your own images: one sub-folder a class, at least 10 images in each."""

    title = "folder"
    paper = "yours"
    prefix = True

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build("folder", self.path, size, skip_bad)
