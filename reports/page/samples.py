"""Sample images of a record with the answers to them, in words: what the page's gallery and the sample sheet show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.legible import shortened, visible
from bench.records import Record
from reports.page.overlay import image_iou, overlay

LONGEST = 120
"""Characters of a prompt, a class or a condition: more than the project's own have."""
KINDS = ("raw", "key", "near", "wrong", "guess")


@dataclass(frozen=True)
class Sample:
    """One image (3, H, W) uint8 with the answer to it; ``right`` is None where there is no answer or no label."""

    image: NDArray[Any]
    answer: str
    right: bool | None
    truth: str | None


@dataclass(frozen=True)
class Strip:
    """The samples of one of `KINDS`, and in words what was done to them and who answers."""

    kind: str
    words: str
    samples: list[Sample]


def strips(record: Record, evidence: Mapping[str, NDArray[Any]], whose: str, most: int) -> list[Strip]:
    """Raw images, images after the key, after a near and a wrong one and after the attacker's guess, with the answers.

    Args:
        record: names the classes, the keys and the attacker's choice.
        evidence: ``samples/KIND`` (m, 3, H, W) uint8 for each of `KINDS`, ``samples/pred_KIND`` (m,) int, and
            ``samples/labels`` or, where a kind has labels of its own, ``samples/labels_KIND``.
        whose: names the attack.
        most: samples of a kind, the first of them.

    Returns:
        Nothing where the record has no sample; a key without near or wrong ones has none of those.
    """
    out = []
    # Without an attack the predictor is the locked model, whose answers stand there already.
    for kind in KINDS[:-1] if record.cell.attack.purpose == "no-attack" else KINDS:
        images = _images(evidence.get(f"samples/{kind}"))
        labels = _answers(evidence.get(f"samples/labels_{kind}", evidence.get("samples/labels")), images)
        predicted = _answers(evidence.get(f"samples/pred_{kind}"), images)
        edited = images is not None
        is_there = predicted is not None or f"samples/pred_{kind}" in evidence
        if images is None and kind == "guess" and is_there:
            images = _images(evidence.get("samples/raw"))  # an attack that edits nothing answers on the raw images
            labels, predicted = _answers(labels, images), _answers(predicted, images)
        if images is None:
            continue
        if record.metric == "mIoU":
            out += _of_masks(record, kind, edited, whose, images[:most], evidence)
            continue
        samples = []
        for i in range(min(len(images), most)):
            truth = None if labels is None else _class(record, int(labels[i]))
            answer = "no answer" if predicted is None else _class(record, int(predicted[i]))
            right = None if predicted is None or labels is None else bool(predicted[i] == labels[i])
            samples.append(Sample(images[i], answer, right, truth))
        out.append(Strip(kind, _words(record, kind, edited, whose), samples))
    return out


def _of_masks(
    record: Record, kind: str, edited: bool, whose: str, images: NDArray[Any], evidence: Mapping[str, NDArray[Any]]
) -> list[Strip]:
    """The strip of a kind with masks over its images; raw images come with the true masks before them."""
    true = _masks(evidence.get(f"samples/labels_{kind}", evidence.get("samples/labels")), images)
    predicted = _masks(evidence.get(f"samples/pred_{kind}"), images)
    out = []
    if kind == "raw" and true is not None:
        truth = [Sample(overlay(x, m), "", None, None) for x, m in zip(images, true, strict=False)]
        out.append(Strip("truth", "raw: the true masks", truth))
    samples = []
    for i, image in enumerate(images):
        # After a key the images may be others than the raw ones, and have no true masks here.
        known = predicted is not None and true is not None and kind != "key"
        score = image_iou(predicted[i], true[i]) if known else None  # type: ignore[index]
        answer = "no answer" if predicted is None else "" if score is None else f"IoU {score:.0f}"
        samples.append(Sample(image if predicted is None else overlay(image, predicted[i]), answer, None, None))
    return [*out, Strip(kind, _words(record, kind, edited, whose), samples)]


def _masks(array: NDArray[Any] | None, images: NDArray[Any]) -> NDArray[Any] | None:
    """``array`` where it holds masks (m, H, W) uint8, one for each image."""
    if array is None or array.ndim != 3 or array.dtype != np.uint8 or len(array) < len(images):
        return None
    return array if array.shape[1:] == images.shape[2:] else None


def _images(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """``array`` where it holds images (m, 3, H, W) uint8; imported evidence may hold anything."""
    if array is None or array.ndim != 4 or array.shape[1] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        return None
    return array


def _answers(array: NDArray[Any] | None, images: NDArray[Any] | None) -> NDArray[Any] | None:
    """``array`` where it holds integers, one for each image."""
    if array is None or array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        return None
    return None if images is not None and len(array) < len(images) else array


def _words(record: Record, kind: str, edited: bool, whose: str) -> str:
    if kind == "raw":
        return "raw: the locked model’s answers"
    if kind == "key":
        prompt = (record.key or {}).get("prompt")
        return f"{f'after the key “{_shown(prompt)}”' if prompt else 'authorised'}: the locked model’s answers"
    if kind in ("near", "wrong"):
        first = next((f" ({_shown(c.what)})" for c in record.conditions if c.kind == kind), "")
        return f"after a {kind} key{first}: the locked model’s answers"
    if not edited:
        return f"raw: the answers of {whose}"
    guess = (record.selected or {}).get("prompt")
    return (
        f"edited with the guess “{_shown(guess)}” of {whose}: its answers"
        if guess
        else f"edited by {whose}: its answers"
    )


def _class(record: Record, index: int) -> str:
    return _shown(record.classes[index]) if 0 <= index < len(record.classes) else str(index)


def _shown(text: object) -> str:
    return shortened(visible(str(text)), LONGEST)
