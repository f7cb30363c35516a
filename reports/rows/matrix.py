"""Locks against attacks: which row stands in each spot of a matrix, and what the spot says. No words, no drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.worst import furthest

Kind = Literal["broken", "not broken", "undecided", "control", "no result"]
"""The verdict of a spot; ``no result`` where a row shows no RP: it failed, is invalid, or lacks a control."""
Images = Literal["", "judge-validation", "test"]
STEPS = 5
"""Shades of the recovered share."""


@dataclass(frozen=True)
class Spot:
    """A lock under an attack.

    Args:
        row: what is shown.
        kind: what it says.
        settings: rows of this lock and attack that it was chosen from, itself included.
        by: the images that it was chosen on; empty where there was no choice.
    """

    row: Row
    kind: Kind
    settings: int = 1
    by: Images = ""

    @property
    def hollow(self) -> bool:
        """Whether the claim "this attack opens the lock" does not stand: the public baseline may do as well."""
        return self.kind in ("not broken", "undecided")

    @property
    def step(self) -> int | None:
        """The shade of the recovered share; None where it is not defined."""
        return step(self.row.mean("recovery"))


@dataclass(frozen=True)
class Line:
    """A lock and its key, with UP and LP and a spot for each attack, None where that was not run."""

    lock: str
    key: str
    lock_name: str
    UP: Value | None
    LP: Value | None
    spots: tuple[Spot | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Locks against attacks in one scenario with one model.

    Args:
        attacks: names of the columns.
        methods: lines of locks, in the order of the rows.
        controls: lines of calibration locks and of the victim.
    """

    attacks: tuple[str, ...]
    methods: tuple[Line, ...]
    controls: tuple[Line, ...]

    @property
    def spots(self) -> list[Spot]:
        """The spots of methods that are there."""
        return [spot for line in self.methods for spot in line.spots if spot is not None]


def step(recovery: float | None) -> int | None:
    """The shade of a recovered share, 0 to `STEPS` − 1 in equal parts of 0 to 1; what lies outside takes the end's."""
    return None if recovery is None else min(max(int(recovery * STEPS + 1e-9), 0), STEPS - 1)


def matrix(rows: Iterable[Row], validation: Mapping[str, float | None] | None = None) -> Matrix:
    """The matrix of ``rows``.

    A column is an attack by name. Of several rows of one lock and attack (other settings, other threat models) the one
    furthest above its public baseline is shown: with more labels RP is higher, and so is the baseline. RP is read on
    judge-validation images where every one of them has been judged there, else on test images. Where a row has no
    baseline, the highest RP is shown. Attacks that break most locks come first, then those with the highest mean RP.

    Args:
        rows: of one scenario and model, in table order. Rows without attack and public baselines have no column.
        validation: by row key, the mean RP on judge-validation images, percent.
    """
    listed = list(rows)
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in listed:
        lines.setdefault((row.lock, row.key), []).append(row)
    spots: dict[tuple[str, str], dict[str, Spot]] = {}
    for place, members in lines.items():
        pools: dict[str, list[Row]] = {}
        for row in members:
            if not row.attack_purpose:
                pools.setdefault(row.attack_name, []).append(row)
        spots[place] = {attack: _spot(pool, validation or {}) for attack, pool in pools.items()}
    attacks = _columns(spots.values())
    built = {
        place: Line(
            *place,
            members[0].lock_name,
            _first(members, "UP"),
            _first(members, "LP"),
            tuple(spots[place].get(attack) for attack in attacks),
        )
        for place, members in lines.items()
    }
    # The victim without attack and its public baseline have columns in no line: a line of nothing says nothing.
    shown = {place: line for place, line in built.items() if any(line.spots) or not _control(lines[place])}
    methods = tuple(line for place, line in shown.items() if not _control(lines[place]))
    return Matrix(attacks, methods, tuple(line for place, line in shown.items() if _control(lines[place])))


def kind_of(row: Row) -> Kind:
    """What a row says in a matrix."""
    if row.status != "ok" or row.values["RP"] is None:
        return "no result"
    if row.role == "control":
        return "control"
    if row.verdict == "broken":
        return "broken"
    return "undecided" if row.verdict == "undecided" else "not broken"


def _spot(pool: Sequence[Row], validation: Mapping[str, float | None]) -> Spot:
    measured = [row for row in pool if kind_of(row) != "no result"]
    if not measured:
        return Spot(pool[0], "no result")
    best, blind = furthest(measured, validation)
    by: Images = "" if len(measured) == 1 else "judge-validation" if blind else "test"
    return Spot(best, kind_of(best), len(measured), by)


def _columns(lines: Iterable[Mapping[str, Spot]]) -> tuple[str, ...]:
    """The attacks, those that break most locks of methods first; then by mean RP, then by name."""
    pools: dict[str, list[Spot]] = {}
    for line in lines:
        for attack, spot in line.items():
            own = pools.setdefault(attack, [])
            if spot.row.role != "control":
                own.append(spot)

    def place(attack: str) -> tuple[int, float, str]:
        reached = [rp for spot in pools[attack] if (rp := spot.row.mean("RP")) is not None]
        broken = sum(spot.kind == "broken" for spot in pools[attack])
        return -broken, -float(np.mean(reached)) if reached else 0.0, attack

    return tuple(sorted(pools, key=place))


def _control(rows: Sequence[Row]) -> bool:
    """Whether a lock is a control: the lock itself is, not merely an attack on it."""
    return any(row.lock_purpose for row in rows)


def _first(rows: Sequence[Row], field: str) -> Value | None:
    """A field of the lock, from the row with the most seeds that has it."""
    known = [(len(row.seeds), value) for row in rows if (value := row.values[field]) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None
