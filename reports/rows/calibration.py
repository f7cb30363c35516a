"""Controls that fail their condition: then the numbers beside them say nothing of a lock. One function a condition.

| control | condition | fails where |
|---|---|---|
| the lock that must open | recovery 1 within noise, by the attack that opens it | `must_open` |
| the lock that must not open | advantage not above 0 beyond noise | `must_not_open` |
| the victim | oracle above the floor beyond noise, in every seed | `at_floor` |

*Beyond noise* is either of two. The 95 % interval over seeds excludes the condition; or every single seed does by its
images alone, since two seeds that differ much have an interval that excludes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench import registry
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.statistics import image_variance

SLACK = 0.01
"""What recovery may lack of 1, or have above it, whatever its interval: about three images of 400."""
Z = 1.96
FEW = 2.0
"""Points above the floor under which a victim has learnt nothing, whatever its images say."""


@dataclass(frozen=True)
class Failed:
    """A control that fails its condition.

    Args:
        row: of the control.
        control: the lock's name, or ``the victim``.
        what: what was measured and what the condition is.
        points: how far the mean is from the condition.
        meaning: what that says of the rows beside it.
    """

    row: Row
    control: str
    what: str
    points: float
    meaning: str


def failed(rows: Iterable[Row]) -> list[Failed]:
    """The controls among ``rows`` that fail; a victim once for each scenario and model."""
    found: list[Failed] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if row.status != "ok":
            continue
        for check in (must_open, must_not_open):
            if (finding := check(row)) is not None:
                found.append(finding)
        victim = at_floor(row)
        if victim is not None and (row.scenario, row.model) not in seen:
            seen.add((row.scenario, row.model))
            found.append(victim)
    return found


def must_open(row: Row) -> Failed | None:
    """The attack does not undo even a renaming of the outputs, or does better than the victim."""
    recovery, rp, oracle = (row.values[name] for name in ("recovery", "RP", "oracle"))
    if row.lock_purpose != "must-open" or row.attack_purpose or rp is None or oracle is None:
        return None
    opener = registry.current().with_purpose("lock", "must-open").opened_by
    if opener and row.attack_name != opener:  # no other attack has to
        return None
    # Where oracle - b is small, recovery is not defined; the points still are.
    points = oracle.mean - rp.mean
    outside = recovery is not None and recovery.low is not None and recovery.high is not None
    outside = outside and (recovery.high < 1 - SLACK or recovery.low > 1 + SLACK)  # type: ignore[union-attr,operator]
    each = _every_seed(row, oracle, rp) or _every_seed(row, rp, oracle)
    if not (outside or each):
        return None
    shown = f"recovery {recovery.mean:.2f}" if recovery is not None else f"RP {rp.mean:.1f}, oracle {oracle.mean:.1f}"
    meaning = (
        "the attack does not even undo a renaming of the outputs" if points > 0 else "the victim or the judge is wrong"
    )
    return Failed(row, row.lock, f"{shown} is not 1 within noise", abs(points), meaning)


def must_not_open(row: Row) -> Failed | None:
    """An attack reaches more than public means do, from a model that holds nothing."""
    advantage, rp, public = (row.values[name] for name in ("advantage", "RP", "public_baseline"))
    if row.lock_purpose != "must-not-open" or row.attack_purpose or advantage is None or rp is None or public is None:
        return None
    interval = advantage.low is not None and advantage.low > 0
    if not (interval or _every_seed(row, rp, public)):
        return None
    what = f"advantage {advantage.mean:.1f} is above 0 beyond noise"
    return Failed(row, row.lock, what, advantage.mean, "the advantages beside it are too high")


def at_floor(row: Row) -> Failed | None:
    """The victim of some seed has learnt nothing."""
    oracle, floor = row.values["oracle"], row.values["floor"]
    if oracle is None or floor is None:
        return None
    low = []
    for seed, value, bound, n in zip(row.seeds, oracle.per_seed, floor.per_seed, row.n, strict=True):
        if value is not None and bound is not None and n:
            noise = max(FEW, Z * math.sqrt(image_variance(value, n)))
            low += [(seed, value - bound)] if value - bound <= noise else []
    if not low:
        return None
    seeds = ", ".join(str(seed) for seed, _ in low)
    what = f"at the floor in seed {seeds}: oracle {oracle.mean:.1f}, floor {floor.mean:.1f}"
    return Failed(row, "the victim", what, math.inf, "there was nothing to lock")


def _every_seed(row: Row, larger: Value, smaller: Value) -> bool:
    """Whether in every seed the one is larger than the other by more than the noise of its images."""
    if not row.seeds:
        return False
    for high, low, n in zip(larger.per_seed, smaller.per_seed, row.n, strict=True):
        if high is None or low is None or not n:
            return False
        if high - low <= Z * math.sqrt(image_variance(high, n) + image_variance(low, n)):
            return False
    return True
