"""The gallery of the HTML page: sample images of a record as small PNG files, each written once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from bench.records import Record
from reports.page import samples

MOST = 8
"""Samples shown of a record."""


@dataclass(frozen=True)
class Picture:
    """One image's file, its alternative text, and the answer to it as in `samples.Sample`."""

    src: str
    alt: str
    answer: str
    right: bool | None
    truth: str | None


@dataclass(frozen=True)
class Strip:
    """The images of one kind, in words and in pictures."""

    words: str
    pictures: list[Picture]


def strips(record: Record, evidence: Mapping[str, NDArray[Any]], folder: Path, whose: str) -> list[Strip]:
    """The sample images of ``record``, written to ``samples/`` in ``folder``, with the answers to them.

    Args:
        record, evidence: as `samples.strips` takes them.
        folder: of the page.
        whose: names the attack above its own pictures.
    """
    out = []
    for strip in samples.strips(record, evidence, whose, MOST):
        pictures = []
        for i, sample in enumerate(strip.samples, start=1):
            alt = f"{strip.kind} image {i}" + ("" if sample.truth is None else f", true class {sample.truth}")
            pictures.append(Picture(_file(sample.image, folder), alt, sample.answer, sample.right, sample.truth))
        out.append(Strip(strip.words, pictures))
    return out


def _file(image: NDArray[Any], folder: Path) -> str:
    """The image's file below ``folder``; equal images (the raw ones of every row) share one."""
    data = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(data, format="PNG")
    name = f"samples/{hashlib.sha256(data.getvalue()).hexdigest()[:16]}.png"
    file = folder / name
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data.getvalue())
    return name
