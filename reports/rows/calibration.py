"""Controls that fail their condition: then the numbers beside them say nothing of a lock. One function a condition.

| control | condition | fails where |
|---|---|---|
| the lock that must open | recovery 1 within noise, by its opener; on a pair of domains not below 1 | `must_open` |
| the lock that must not open | advantage not above 0 beyond noise | `must_not_open` |
| the victim | oracle above the floor beyond noise, in every seed | `at_floor` |

*Beyond noise* is either of two. The 95 % interval over seeds excludes the condition; or every single seed does by its
images alone, since two seeds that differ much have an interval that excludes nothing.

The lock that must open may miss its condition in some seeds alone, or lie above it on a pair. Then it has not failed,
and `missed` names the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench import datasets
from reports.rows.controls import reads
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.statistics import image_variance

SLACK = 0.01
"""What recovery may lack of 1, or have above it, whatever its interval: about three images of 400."""
MEANING = {
    "below": "the attack does not even undo a renaming of the outputs",
    "above": "the attacker's own images teach more than the victim knows, or the victim or the judge is wrong",
}
"""What it says of the table that the lock that must open lies on that side of its condition."""
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
    if not opens(row) or rp is None or oracle is None:
        return None
    # Where oracle - b is small, recovery is not defined; the points still are.
    points = oracle.mean - rp.mean
    bounds = None if recovery is None else recovery.bounds
    outside = bounds is not None and (bounds[1] < 1 - SLACK or bounds[0] > 1 + SLACK)
    below, above = _seeds(row, oracle, rp), _seeds(row, rp, oracle)
    if not (outside or (row.seeds and row.seeds in (below, above))):
        return None
    side = "below" if points > 0 else "above"
    if side == "above" and datasets.pair(row.task) is not None:
        return None  # `missed` says it: a victim of one domain leaves much of the other for images to teach
    shown = f"recovery {recovery.mean:.2f}" if recovery is not None else f"RP {rp.mean:.1f}, oracle {oracle.mean:.1f}"
    return Failed(row, row.lock, f"{shown} is not 1 within noise, but {side}", abs(points), MEANING[side])


def missed(row: Row) -> list[Failed]:
    """The sides on which the lock that must open misses its condition in some seeds, though not in their mean.

    Of each seed alone, RP and oracle differ by more than the noise of its images.
    """
    rp, oracle = row.values["RP"], row.values["oracle"]
    if row.status != "ok" or not opens(row) or rp is None or oracle is None or must_open(row) is not None:
        return []
    found = []
    for side, seeds in (("below", _seeds(row, oracle, rp)), ("above", _seeds(row, rp, oracle))):
        if seeds:
            pairs = [(row.of_seed("RP", seed) or 0.0, row.of_seed("oracle", seed) or 0.0) for seed in seeds]
            words = ", ".join(f"seed {s}: RP {x:.1f}, oracle {y:.1f}" for s, (x, y) in zip(seeds, pairs, strict=True))
            points = max(abs(x - y) for x, y in pairs)
            found.append(Failed(row, row.lock, f"RP lies {side} the oracle in {words}", points, MEANING[side]))
    return found


def outside(row: Row) -> bool:
    """Whether the row of a calibration lock misses its condition, in the mean or in some seeds."""
    return row.status == "ok" and (
        any(check(row) is not None for check in (must_open, must_not_open)) or bool(missed(row))
    )


def opens(row: Row) -> bool:
    """Whether the row is of the lock that must open, under the attack that opens it: no other attack has to."""
    if row.lock_purpose != "must-open" or row.attack_purpose:
        return False
    return reads("must-open", row.attack_name)


def must_not_open(row: Row) -> Failed | None:
    """An attack reaches more than public means do, from a model that holds nothing."""
    advantage, rp, public = (row.values[name] for name in ("advantage", "RP", "public_baseline"))
    if row.lock_purpose != "must-not-open" or row.attack_purpose or advantage is None or rp is None or public is None:
        return None
    bounds = advantage.bounds
    if not ((bounds is not None and bounds[0] > 0) or (row.seeds and _seeds(row, rp, public) == row.seeds)):
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


def _seeds(row: Row, larger: Value, smaller: Value) -> tuple[int, ...]:
    """The seeds in which the one is larger than the other by more than the noise of the images."""
    found = []
    for seed, high, low, n in zip(row.seeds, larger.per_seed, smaller.per_seed, row.n, strict=True):
        if high is None or low is None or not n:
            continue
        if high - low > Z * math.sqrt(image_variance(high, n) + image_variance(low, n)):
            found.append(seed)
    return tuple(found)
