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

KINDS = ("raw", "key", "near", "wrong", "guess")
MOST = 8
"""Samples shown of a record."""


@dataclass(frozen=True)
class Picture:
    """One image with the answer to it; ``right`` is None where there is no answer or no label."""

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
    """Raw images, images after the key, a near and a wrong one and the attacker's guess, with the answers to them.

    Args:
        record: names the classes (``classes``), the keys and the attacker's choice.
        evidence: ``samples/KIND`` (m, 3, H, W) uint8 for each of `KINDS`, ``samples/pred_KIND``, and ``samples/labels``
            or, where a kind has labels of its own, ``samples/labels_KIND``.
        folder: of the page; images go to its ``samples/``.
        whose: names the attack above its own pictures.

    Returns:
        Nothing where there is no sample; a key without near or wrong ones has none of those.
    """
    shown = []
    # Without an attack the predictor is the locked model, whose answers stand there already.
    for kind in KINDS[:-1] if record.cell.attack.purpose == "no-attack" else KINDS:
        images = evidence.get(f"samples/{kind}")
        labels = evidence.get(f"samples/labels_{kind}", evidence.get("samples/labels"))
        predicted = evidence.get(f"samples/pred_{kind}")
        edited = images is not None
        if images is None and kind == "guess" and predicted is not None:
            images = evidence.get("samples/raw")  # an attack that edits nothing answers on the raw images
        if images is None:
            continue
        pictures = []
        for i in range(min(len(images), MOST)):
            true = None if labels is None else class_name(record, int(labels[i]))
            answer = "no answer" if predicted is None else class_name(record, int(predicted[i]))
            right = None if predicted is None or labels is None else bool(predicted[i] == labels[i])
            alt = f"{kind} image {i + 1}" + ("" if true is None else f", true class {true}")
            pictures.append(Picture(_written(images[i], folder), alt, answer, right, true))
        shown.append(Strip(_words(record, kind, edited, whose), pictures))
    return shown


def _words(record: Record, kind: str, edited: bool, whose: str) -> str:
    if kind == "raw":
        return "raw: the locked model’s answers"
    if kind == "key":
        prompt = (record.key or {}).get("prompt")
        side = f"after the key “{prompt}”" if prompt else "authorised"
        return f"{side}: the locked model’s answers"
    if kind in ("near", "wrong"):
        first = next((c.what for c in record.conditions if c.kind == kind), "")
        return f"after a {kind} key ({first}): the locked model’s answers"
    if not edited:
        return f"raw: the answers of {whose}"
    guess = (record.selected or {}).get("prompt")
    return f"edited with the guess “{guess}” of {whose}: its answers" if guess else f"edited by {whose}: its answers"


def class_name(record: Record, index: int) -> str:
    """The name of class ``index``, or its number where the record names none."""
    return str(record.classes[index]) if 0 <= index < len(record.classes) else str(index)


def _written(image: NDArray[Any], folder: Path) -> str:
    """The image's file below ``folder``; equal images (the raw ones of every row) share one."""
    data = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(data, format="PNG")
    name = f"samples/{hashlib.sha256(data.getvalue()).hexdigest()[:16]}.png"
    file = folder / name
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data.getvalue())
    return name
