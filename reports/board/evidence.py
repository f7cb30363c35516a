"""Whether numbers follow from their own predictions, and whether those are of the models and images they should be.

| check | what it guards against |
|---|---|
| `_numbers` | a number that was changed |
| `_conditions` | the same under a key condition |
| `_images` | predictions of other test images |
| `_models` | predictions of another locked model, or of another victim |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench import metrics
from bench.plan.wording import in_short, scenario_label
from bench.records import Measured, Record, condition_name
from reports.board import code
from reports.board.finding import Finding, Submission, of_problems
from reports.gate.sound import ROUNDING
from reports.rows.answered import answered
from reports.rows.statistics import Answered, value_of

VALIDATION = "RP_validation"
SIDES = {
    "UP": "authorised", "UP_shipped": "authorised", "victim_authorised": "authorised",
    "authorised_after": "authorised", "LP": "test", "LP_shipped": "test", "RP": "test", "oracle": "test",
    VALIDATION: "validation",
}  # fmt: skip
"""Numbers with evidence by image, and the side whose images they are over."""
BY_LOCK = ("UP", "LP", "UP_shipped", "LP_shipped")
"""Answers of the locked model: the same in every record of it."""

Arrays = Mapping[str, Any]


def check(s: Submission) -> Finding:
    """Whether every number can be computed anew from the evidence beside it."""
    problems: list[str] = []
    known: dict[tuple[str, ...], str] = {}
    is_ours = code.is_of_this_judge(s)
    for record in s.measured:
        arrays = s.evidence(record)
        found = [*_numbers(record, arrays, is_ours), *_conditions(record, arrays)]
        found += [*_images(record, arrays, known), *_models(record, arrays, known)]
        problems += [f"{in_short(record.cell)}: {problem}" for problem in found]
    return of_problems(
        "evidence", f"UP, LP, RP and the rest of {len(s.measured)} records follow from their predictions", problems,
        "Export the store as `bench run` left it; a damaged record is found by bench doctor.",
    )  # fmt: skip


def _numbers(record: Record, arrays: Arrays, is_ours: bool) -> Iterator[str]:
    """Judges before December 2026 kept no answers to validation images, so those are due of today's judge alone.

    Args:
        is_ours: whether the judge of this checkout made the archive.
    """
    for name, side in SIDES.items():
        measured: Measured | None = getattr(record, name)
        if measured is None:
            continue
        found = answered(arrays, side, [name])
        if found is None or name not in found[1]:
            if name != VALIDATION or is_ours:
                yield f"{name} has no evidence"
            continue
        yield from _number(name, measured, found[1][name])
    floor = _floor(record, arrays)
    if record.floor is not None and floor is not None and abs(record.floor - floor) >= ROUNDING:
        yield f"the floor is {record.floor:.2f}, and {floor:.2f} by its labels"


def _number(name: str, measured: Measured, answers: Answered) -> Iterator[str]:
    if len(answers) != measured.n or not len(answers):
        yield f"{name} is over {measured.n} images, its evidence over {len(answers)}"
        return
    value = value_of(answers)
    if abs(value - measured.value) >= ROUNDING:
        yield f"{name} is {measured.value:.2f}, and {value:.2f} by its evidence"
        return
    if measured.low is None or measured.high is None:
        yield f"{name} has no interval"
        return
    low, high = metrics.mean_iou_interval(answers) if answers.ndim > 1 else metrics.image_interval(answers)
    if abs(min(low, value) - measured.low) >= ROUNDING or abs(max(high, value) - measured.high) >= ROUNDING:
        yield f"the interval of {name} is not that of its evidence"


def _floor(record: Record, arrays: Arrays) -> float | None:
    """What the best constant answer reaches, percent; None without the labels."""
    if (constant := arrays.get("confusion/floor")) is not None:
        return metrics.mean_iou(constant.sum(0))
    labels = arrays.get("test_labels")
    if labels is None or not len(labels) or labels.min() < 0:
        return None
    return 100.0 * float(np.bincount(labels).max()) / len(labels)


def _conditions(record: Record, arrays: Arrays) -> Iterator[str]:
    """A key may move the masks of segmentation, so there only those counts are looked at that are here."""
    for condition in record.conditions:
        name = condition_name(condition.kind, condition.label)
        counts, classes = arrays.get(f"confusion/condition/{name}"), arrays.get(f"pred/condition/{name}")
        side = "authorised" if condition.kind == "right" else "test"
        labels = arrays.get(f"{side}_labels", arrays.get("test_labels"))
        n = condition.accuracy.n
        if counts is None and (classes is None or labels is None):
            yield f"the key condition {name} has no evidence"
        elif counts is not None:
            yield from _number(f"the key condition {name}", condition.accuracy, counts)
        elif classes is not None and labels is not None:
            of_it = labels if len(classes) == len(labels) else labels[_some(arrays, len(labels))]
            if len(classes) != n or len(of_it) != n:
                yield f"the key condition {name} is over {n} images, its evidence over {len(classes)}"
            else:
                yield from _number(f"the key condition {name}", condition.accuracy, classes == of_it)


def _some(arrays: Arrays, n: int) -> Any:
    """Places of the images of key conditions; evidence of older versions is of the first ones."""
    return metrics.at_random(n) if "some" in arrays else np.arange(min(n, metrics.SOME))


def _images(record: Record, arrays: Arrays, known: dict[tuple[str, ...], str]) -> Iterator[str]:
    """All records of a scenario are judged on the same images, whatever the seed."""
    for side in ("test", "authorised", "validation"):
        for part in ("index", "labels"):
            at = (f"{side}_{part}", scenario_label(record.cell))
            if f"{side}_{part}" in arrays and not _same(known, at, arrays[f"{side}_{part}"]):
                yield f"its {side} images are not those of the other records of this scenario"
    if "test_index" not in arrays:
        yield "its evidence does not say which test images it is over"


def _models(record: Record, arrays: Arrays, known: dict[tuple[str, ...], str]) -> Iterator[str]:
    """All records of one locked model hold its very answers, and those of one victim the victim's."""
    parents = record.provenance.parents
    for name in BY_LOCK:
        for prefix in ("pred", "confusion"):
            answers = arrays.get(f"{prefix}/{name}")
            if answers is not None and not _same(known, (name, parents.get("judged", "")), answers):
                yield f"its answers behind {name} are not those of the other records of this locked model"
    for prefix in ("pred", "confusion"):
        answers = arrays.get(f"{prefix}/oracle")
        if answers is not None and not _same(known, ("oracle", parents.get("victim", "")), answers):
            yield "its answers behind oracle are not those of the other records of this victim"
        answers = arrays.get(f"{prefix}/victim_authorised")
        at = ("victim_authorised", parents.get("victim", ""), parents.get("key", ""))
        if answers is not None and not _same(known, at, answers):
            yield "its answers behind victim_authorised are not those of the other records of this victim and key"


def _same(known: dict[tuple[str, ...], str], at: tuple[str, ...], array: Any) -> bool:
    """Whether ``array`` is the one that was first seen at that place."""
    content = hashlib.sha256(f"{array.shape} {array.dtype.kind}".encode())
    content.update(np.ascontiguousarray(array).astype(np.int64).tobytes())
    return known.setdefault(at, content.hexdigest()) == content.hexdigest()
