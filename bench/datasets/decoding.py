"""One image file as square RGB pixels, whatever it holds."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, features

from bench.datasets.listing import EXTENSIONS

VERSION = 1
"""Raised whenever the pixels of any file change: decoded images of another version are not used."""
BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}
"""What lies behind transparent images, by the value of ``task.background``."""
# Only these: Pillow would hand some other formats to programs outside it.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_ORIENTATION = 0x0112


class Unreadable(ValueError):
    """An image that cannot be used; the message says why, in a word or two."""


@cache
def formats() -> tuple[str, ...]:
    """The formats of Pillow that can be read here."""
    more = ("AVIF",) if features.check("avif") else ()
    return (*_FORMATS, *more, *(("HEIF",) if _has_heif() else ()))


@cache
def readable() -> frozenset[str]:
    """The extensions of the files that can be read here."""
    found = {".avif"} if "AVIF" in formats() else set()
    return EXTENSIONS | found | ({".heic", ".heif"} if "HEIF" in formats() else set())


def _has_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warning of Pillow reaches the terminal, and too large an image is an error: around any use of `read`.

    Filters of warnings belong to the process, so this stands around threads, not in them.
    """
    Image.init()  # the readers of all formats, before threads ask for them
    log = logging.getLogger("PIL")
    level, log.level = log.level, logging.CRITICAL
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        log.level = level


def read(path: Path, size: int, background: str = "white") -> np.ndarray:
    """The image file ``path``: upright, RGB, its shorter side ``size`` pixels (bicubic), the centre cut out.

    Of an animation it is the first frame. What is transparent shows ``background``. CMYK with a colour profile is
    converted by its profile; other profiles are left aside, since training pipelines do so.

    Returns:
        (size, size, 3) uint8.

    Raises:
        Exception: of nearly any kind on a broken file; `reason` puts it in words.
    """
    with Image.open(path, formats=formats()) as opened:
        opened.load()
        turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
        image = _rgb(opened, background)
    if turn is not None:
        image = image.transpose(turn)
    # ImageOps.fit scales and cuts in one resampling, so a long image is not first enlarged whole.
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of the image file ``path`` once it is upright, pixels."""
    with Image.open(path, formats=formats()) as opened:
        width, height = opened.size
        # Pillow has a TIFF upright from the start.
        turned = opened.format != "TIFF" and opened.getexif().get(_ORIENTATION, 1) >= 5
    return (height, width) if turned else (width, height)


def _rgb(image: Image.Image, background: str) -> Image.Image:
    if image.mode == "F":
        raise Unreadable("its pixels have no known range")
    if image.mode.startswith("I"):
        return _eight_bit(image).convert("RGB")
    if image.mode == "CMYK":
        return _by_profile(image)
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (*BACKGROUNDS[background], 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """A grey ``image`` of 16 bits with 8; Pillow alone would clip it to white."""
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise Unreadable("its pixels have no known range")
    return Image.fromarray((deep // 257).astype(np.uint8))


def _by_profile(image: Image.Image) -> Image.Image:
    profile: Any = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            done = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if done is not None:
                return done
        except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile: as if there were none
            pass
    return image.convert("RGB")


def reason(path: Path, error: Exception) -> str:
    """Why ``path`` cannot be read, in a word or two."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "broken link"
    try:
        if path.stat().st_size == 0:
            return "empty"
    except OSError:
        pass
    return "truncated" if "truncated" in str(error).lower() else "corrupt"
