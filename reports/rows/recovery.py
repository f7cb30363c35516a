"""Recovery and advantage: formulas, and their intervals from paired images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import Measured, Record
from reports.rows.answered import answered
from reports.rows.intervals import of_derived
from reports.rows.source import Evidence
from reports.rows.statistics import Answered, Draws, value_of

HEADROOM = 10.0
"""Points between b and the oracle under which recovery is not defined."""


def derived(group: Sequence[Record], baselines: Sequence[Record | None], evidence: Evidence | None) -> dict[str, Any]:
    """Recovery and advantage of a row that has its controls, by name.

    Args:
        group: the replicates of one row.
        baselines: the public baseline of each, None where there is none.
        evidence: per-image predictions of a record, for paired bootstraps.
    """
    recovery: list[float | None] = []
    advantage: list[float | None] = []
    measured: list[dict[str, Measured]] = []
    for record, baseline in zip(group, baselines, strict=True):
        public = None if baseline is None else baseline.RP
        named = {"RP": record.RP, "LP": record.LP, "oracle": record.oracle, "baseline": public}
        known = {name: m for name, m in named.items() if m is not None}
        measured.append(known)
        point = {name: np.array([m.value]) for name, m in known.items()}
        floor = record.floor if record.floor is not None else 0.0
        # Decimal percentages differ by rounding error; a gap of exactly 10 points counts.
        enough = {"RP", "LP", "oracle"} <= set(known) and headroom(point, floor)[0] >= HEADROOM - 1e-9
        recovery.append(float(recovery_of(point, floor)[0]) if enough else None)
        measurable = {"RP", "baseline"} <= set(known) and record.floor is not None
        advantage.append(float(advantage_of(point, floor)[0]) if measurable else None)
    # Test splits are the same for every seed, and so are their floors.
    floor = max((r.floor for r in group if r.floor is not None), default=0.0)
    correct = [_correct(r, b, evidence) if evidence else None for r, b in zip(group, baselines, strict=True)]

    def paired(*names: str) -> tuple[list[dict[str, Measured]], list[dict[str, Answered] | None]]:
        chosen = [{n: m[n] for n in names if n in m} for m in measured]
        right = [c and {n: c[n] for n in names} if c and set(names) <= set(c) else None for c in correct]
        return chosen, right

    # The baseline of a baseline is itself: its advantage would be 0 by definition, which is no measurement.
    own = group[0].cell.attack.purpose == "public-baseline"
    return {
        "recovery": of_derived(recovery, lambda x: recovery_of(x, floor), *paired("RP", "LP", "oracle")),
        "advantage": None
        if own
        else of_derived(advantage, lambda x: advantage_of(x, floor), *paired("RP", "baseline")),
    }


def headroom(x: Mapping[str, Draws], floor: float) -> Draws:
    """(B,) points between b = max(LP, floor) and the oracle, from (B,) accuracies by name."""
    return x["oracle"] - np.maximum(x["LP"], floor)


def recovery_of(x: Mapping[str, Draws], floor: float) -> Draws:
    """(B,) recovery, a fraction, from (B,) accuracies by name; NaN where there was nothing to recover."""
    gap = headroom(x, floor)
    return np.where(gap > 0, (x["RP"] - np.maximum(x["LP"], floor)) / np.where(gap > 0, gap, 1.0), np.nan)


def advantage_of(x: Mapping[str, Draws], floor: float) -> Draws:
    """(B,) advantage, points, from (B,) accuracies by name."""
    return x["RP"] - np.maximum(x["baseline"], floor)


def _correct(record: Record, baseline: Record | None, evidence: Evidence) -> dict[str, Answered] | None:
    """What each test image adds, by name, in the order of the test index."""
    own = _right(record, evidence(record), {"RP": record.RP, "LP": record.LP, "oracle": record.oracle})
    if own is None:
        return None
    index, right = own
    names = {record.metric, record.metric if baseline is None else baseline.metric}
    if len(names) > 1:
        return None
    if baseline is not None:
        other = _right(baseline, evidence(baseline), {"RP": baseline.RP})
        if other is not None and "RP" in other[1] and np.array_equal(other[0], index):
            right["baseline"] = other[1]["RP"]
    return right if len({answers.ndim for answers in right.values()}) == 1 else None  # else they cannot be paired


def _right(
    record: Record, arrays: Mapping[str, NDArray[Any]], measured: Mapping[str, Measured | None]
) -> tuple[NDArray[Any], dict[str, Answered]] | None:
    if "test_index" not in arrays:  # images of two records could not be paired
        return None
    found = answered(arrays, "test", tuple(measured))
    if found is None:
        return None
    index, all_answered = found
    # Evidence speaks for a number only where it reproduces it.
    right = {
        name: a
        for name, a in all_answered.items()
        if (m := measured[name]) is not None and abs(value_of(a) - m.value) < 0.05
    }
    return index, right
