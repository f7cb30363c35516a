"""What a lock does to two domains: source drop, target drop, ST-D and the mean of both sides.

Defined where a lock is judged on two domains with no attack. A_s and A_t are the locked model's accuracies on source
(authorised) and target (unauthorised) test images, V_s and V_t those of the victim, all in percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.records import Cell, Measured, Record
from reports.rows.answered import answered
from reports.rows.intervals import Value, of_derived
from reports.rows.statistics import Answered, Draws

LEAST_DROP = 1.0
"""Relative target drop, percent, under which ST-D is undefined rather than huge."""
TIMES = 4.0
"""A pair of domains counts where the victims' mean target accuracy is at least this many times the floor."""

HEADINGS = {
    "source_drop": "source drop",
    "target_drop": "target drop, relative",
    "st_d": "ST-D",
    "both_sides": "(A_s + 100 - A_t) / 2",
}
"""Heads of columns, by name of `FORMULAS`."""


def source_drop(x: Mapping[str, Draws]) -> Draws:
    """V_s − A_s, points."""
    return x["victim_authorised"] - x["UP"]


def target_drop(x: Mapping[str, Draws]) -> Draws:
    """100 (V_t − A_t) / V_t, percent of what the victim had; undefined where it had nothing."""
    v = x["oracle"]
    return np.where(v > 0, 100 * (v - x["LP"]) / np.where(v > 0, v, 1.0), np.nan)


def st_d(x: Mapping[str, Draws]) -> Draws:
    """Relative source drop over relative target drop (MAP); lower is better, negative where the source rose."""
    target = target_drop(x)
    source = np.where(x["victim_authorised"] > 0, 100 * source_drop(x) / x["victim_authorised"], np.nan)
    enough = np.nan_to_num(target, nan=0.0) >= LEAST_DROP
    return np.where(enough, source / np.where(enough, target, 1.0), np.nan)


def both_sides(x: Mapping[str, Draws]) -> Draws:
    """(A_s + 100 − A_t) / 2: 50 is a destroyed model as well as an open one, so never a rank by itself."""
    return (x["UP"] + 100 - x["LP"]) / 2


def counts(victim: Value, floor: Value) -> str:
    """Whether a pair of domains counts, in words: the victims' mean target accuracy against `TIMES` the floor."""
    least = TIMES * floor.mean
    verdict = "the pair counts" if victim.mean >= least else "the pair does not count: there is too little to take away"
    return (
        f"The victims' mean target accuracy is {victim.mean:.1f} over {victim.n_seeds} seed(s), "
        f"{TIMES:g} times the floor {least:.1f}: {verdict}."
    )


FORMULAS: Mapping[str, tuple[Callable[[Mapping[str, Draws]], Draws], tuple[str, ...]]] = {
    "source_drop": (source_drop, ("victim_authorised", "UP")),
    "target_drop": (target_drop, ("oracle", "LP")),
    "st_d": (st_d, ("victim_authorised", "UP", "oracle", "LP")),
    "both_sides": (both_sides, ("UP", "LP")),
}


SIDES = (("authorised", ("victim_authorised", "UP")), ("test", ("oracle", "LP")))
"""Each side as the evidence names it, and the numbers measured on it."""


def drops(
    group: Sequence[Record], evidence: Callable[[Record], Mapping[str, NDArray[Any]]] | None = None
) -> dict[str, Value | None] | None:
    """By name of `FORMULAS`, the value over the replicates of one row; None where it is no lock on two domains.

    Args:
        evidence: per-image predictions of a record: victim and lock are then resampled over the same images.
    """
    cell = group[0].cell
    if not _is_pair(cell) or cell.attack.purpose != "no-attack" or any(r.status != "ok" for r in group):
        return None
    correct = [_correct(record, evidence) for record in group]
    out: dict[str, Value | None] = {}
    for name, (formula, needed) in FORMULAS.items():
        values: list[float | None] = []
        measured: list[dict[str, Measured]] = []
        for record in group:
            known = {n: m for n in needed if (m := getattr(record, n)) is not None}
            point = {n: np.array([m.value]) for n, m in known.items()}
            value = float(formula(point)[0]) if len(known) == len(needed) else np.nan
            values.append(None if np.isnan(value) else value)
            measured.append(known)
        out[name] = of_derived(values, formula, measured, correct)
    return out


def _correct(
    record: Record, evidence: Callable[[Record], Mapping[str, NDArray[Any]]] | None
) -> tuple[dict[str, Answered], ...] | None:
    """For each side what each test image adds, by name; None where evidence is missing."""
    arrays = {} if evidence is None else evidence(record)
    sides = []
    for side, names in SIDES:
        is_there = f"{side}_labels" in arrays or f"{side}_index" in arrays
        found = answered(arrays, side, names) if is_there else None
        if found is None or len(found[1]) < len(names):
            return None
        sides.append(found[1])
    return tuple(sides)


def _is_pair(cell: Cell) -> bool:
    key = registry.current().get("key", cell.key.name)
    return key is not None and key.pair
