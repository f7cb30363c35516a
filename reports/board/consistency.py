"""Whether a record agrees with itself: what it says twice must be the same, and what follows from it must be there.

| check | what it guards against |
|---|---|
| `_standing` | a curve that does not end at RP, or costs that fall or pass what the attack spent |
| `_validation` | validation accuracies, which choose the worst of an ensemble, that no such predictor has |
| `_keys` | key conditions that are not the answers behind UP and LP |
| `_red_flags` | red flags that were left out |
| `_invalid` | a bad seed that is called invalid |
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bench import datasets, red_flags
from bench.metrics import SOME
from bench.plan.wording import in_short
from bench.records import CurvePoint, Flag, Record
from reports.board.finding import Finding, Submission, of_problems
from reports.gate.sound import DISTRUSTED, ROUNDING
from reports.rows.statistics import image_variance

FAR, POINTS = 4.0, 15.0
"""Standard deviations of the images, and points: RP and its value on judge-validation images never differ by more than
both by chance."""
ROUNDED = 0.01
"""Share of answers of one model to the same images that may differ: batches of another size round otherwise."""
TWICE = {"right": "UP", "none": "LP"}
"""Key conditions whose answers are those behind a number of the record."""
COSTS = ("steps", "queries", "edited", "guesses", "calls", "forward_images", "backward_images", "seconds")
"""What an attack's meter counts up: see `bench.contracts.run.Meter`."""

Arrays = Mapping[str, Any]


def check(s: Submission) -> Finding:
    """Whether every record agrees with itself."""
    problems = [f"{in_short(r.cell)}: {problem}" for r in s.records for problem in _invalid(r)]
    for record in s.measured:
        arrays = s.evidence(record)
        found = [*_standing(record), *_validation(record), *_keys(record, arrays), *_red_flags(record, arrays)]
        problems += [f"{in_short(record.cell)}: {problem}" for problem in found]
    return of_problems(
        "consistency", f"what {len(s.records)} records say twice is the same", problems,
        "Export the store as `bench run` left it.",
    )  # fmt: skip


def _final(record: Record) -> CurvePoint | None:
    """The submission that RP is of: the last one, or the one that the judge chose on validation images."""
    if not record.curve:
        return None
    if record.selection is not None and record.selection.by_judge:
        return max(record.curve, key=lambda point: point.validation or 0.0)
    return record.curve[-1]


def _standing(record: Record) -> Iterator[str]:
    if record.RP is None:
        return
    point = _final(record)
    if point is None:
        yield "it has no curve"
        return
    if any(p.n not in (None, record.RP.n, min(SOME, record.RP.n)) for p in record.curve):
        yield "a point of its curve is over another number of images"
    if point.n in (None, record.RP.n) and abs(point.RP - record.RP.value) >= ROUNDING:
        yield f"its curve ends at {point.RP:.2f}, and RP is {record.RP.value:.2f}"
    meters = [point.meter for point in record.curve] + [record.meter or {}]
    for name in COSTS:
        counts = [count for meter in meters if isinstance(count := meter.get(name), int | float)]
        if any(not math.isfinite(count) or count < 0 for count in counts):
            yield f"its {name} are no count"
        elif counts != sorted(counts):
            yield f"its {name} fall along the curve, or pass what the attack spent"


def _validation(record: Record) -> Iterator[str]:
    """RP and its value on validation images are of one predictor, on two draws of images from one place.

    Images that come in groups are no independent draws, so nothing is said of those.
    """
    if record.RP is None:
        return
    if record.RP_validation is None:
        yield "RP has no value on judge-validation images"
        return
    pair = (record.RP, record.RP_validation)
    noise = math.sqrt(sum(image_variance(m.value, m.n) for m in pair))
    apart = abs(record.RP.value - record.RP_validation.value)
    grouped = record.cell.task_settings.get("task.groups", "none") != "none"
    if apart > max(FAR * noise, POINTS) and not grouped:
        yield (
            f"RP is {record.RP.value:.1f}, and {record.RP_validation.value:.1f} on judge-validation images: "
            f"{apart / noise:.0f} standard deviations apart"
        )


def _keys(record: Record, arrays: Arrays) -> Iterator[str]:
    if any(flag.name == "depends-on-batch" for flag in record.flags):
        return
    for condition in record.conditions:
        name = TWICE.get(condition.kind)
        for prefix in ("pred", "confusion"):
            under, answers = arrays.get(f"{prefix}/condition/{condition.kind}"), arrays.get(f"{prefix}/{name}")
            if under is not None and answers is not None and not _alike(under, answers):
                yield f"its answers under the key condition {condition.kind} are not those behind {name}"


def _alike(first: Any, second: Any) -> bool:
    if first.shape != second.shape:
        return False
    apart = int((first != second).reshape(len(first), -1).any(1).sum())
    return apart <= max(1, ROUNDED * len(first))


def _red_flags(record: Record, arrays: Arrays) -> Iterator[str]:
    """Those that follow from what the record holds; the others are known to the judge alone."""
    raised = {flag.name for flag in record.flags}
    for flag in _due(record, arrays):
        if flag.name not in raised:
            yield f"it lacks the red flag {flag.name}: {flag.detail}"


def _due(record: Record, arrays: Arrays) -> list[Flag]:
    UP, LP, RP, oracle = record.UP, record.LP, record.RP, record.oracle
    due: list[Flag | None] = []
    if UP is not None and LP is not None:
        due += [red_flags.no_op(UP, LP, record.victim_authorised, oracle), red_flags.not_selective(UP, LP)]
    is_of_images = record.metric == "accuracy"  # masks: some flags are raised on other grounds
    if LP is not None and record.floor is not None and is_of_images:
        due.append(red_flags.below_floor(LP, record.floor))
        due.append(red_flags.lives_in_batch_norm(LP.value, record.LP_after_batch_norm))
    if LP is not None and record.LP_shipped is not None:
        due.append(red_flags.opens_when_dropped(LP, record.LP_shipped))
    if record.selection is not None and record.selection.peeks:
        due.append(red_flags.peeking_selection())
    labels, answers, errors = (arrays.get(name) for name in ("test_labels", "pred/RP", "pred/oracle"))
    if RP is not None and oracle is not None and datasets.pair(record.cell.scenario) is None:
        if labels is not None and answers is not None and errors is not None:
            wrong = errors != labels
            right = int((answers[wrong] == labels[wrong]).sum())
            due.append(red_flags.right_where_the_victim_errs(right, int(wrong.sum()), RP, oracle))
    return [flag for flag in due if flag is not None]


def _invalid(record: Record) -> Iterator[str]:
    """Only an answer that is none, or a read that the threat model forbids, makes a result invalid."""
    if record.status == "invalid" and not {flag.name for flag in record.flags} & set(DISTRUSTED):
        yield "it is called invalid, and has no flag that says why"
