"""Which lock holds best, as far as noise can tell: places over the worst case of each lock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.rows import statistics
from reports.rows.intervals import IMAGES, Value
from reports.rows.row import Row
from reports.rows.worst import candidates, worst


def places(rows: Sequence[Row]) -> list[tuple[Row, tuple[int, int]]]:
    """The row that stands for each lock that may be ranked, with the lock's (best, worst) rank; 1 holds best.

    A lock's worst case is that of `reports.rows.worst`; `ranges` compares them. A lock whose worst case has no interval
    has no place: a lesser row would stand for it.

    Args:
        rows: of one table, and of locks that may be ranked.
    """
    rivals = [row for row in _worsts(rows) if _has_interval(row)]
    values = [v for row in rivals if (v := row.values["advantage"]) is not None]
    if len(rivals) < 2:
        return []
    return list(zip(rivals, ranges(values), strict=True))


def unplaced(rows: Sequence[Row]) -> list[Row]:
    """The worst cases that have no interval, and so no place."""
    return [row for row in _worsts(rows) if not _has_interval(row)]


def unshared(rows: Sequence[Row], ranked: Sequence[Row]) -> list[str]:
    """Attacks that could stand for some of the ``ranked`` locks and did not run on all of them, by name.

    The same attack under another threat model is another one. A member of an ensemble counts where it was measured.
    """
    places = {row.place for row in ranked}
    met = [{_attack(row): row.attack for row in candidates(pool)} for pool in _pools(rows) if pool[0].place in places]
    shared = set.intersection(*(set(attacks) for attacks in met)) if met else set()
    spared = {name for attacks in met for at, name in attacks.items() if at not in shared}
    return sorted(spared | _spared_members([row for pool in _pools(rows) if pool[0].place in places for row in pool]))


def _spared_members(rows: Sequence[Row]) -> set[str]:
    """Members of one ensemble that some locks lack and others do not."""
    lacking: dict[tuple[int, str], list[set[str]]] = {}
    for row in rows:
        if row.ensemble is not None:
            lacking.setdefault((row.ensemble.version, row.ensemble.threat), []).append(set(row.ensemble.missing))
    spared: set[str] = set()
    for sets in lacking.values():
        spared |= set().union(*sets) - sets[0].intersection(*sets)
    return spared


def _worsts(rows: Sequence[Row]) -> list[Row]:
    return [stands for pool in _pools(rows) if (stands := worst(pool)) is not None]


def _has_interval(row: Row) -> bool:
    value = row.values["advantage"]
    return value is not None and value.half is not None


def _pools(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows with an advantage, by lock and key."""
    pools: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.values["advantage"] is not None:
            pools.setdefault(row.place, []).append(row)
    return list(pools.values())


def _attack(row: Row) -> str:
    return repr((row.attack, sorted(row.threat.items(), key=str)))


def ranges(values: Sequence[Value]) -> list[tuple[int, int]]:
    """The (best, worst) rank of each lock by its worst-case advantage; 1 is the least.

    A test of each pair of locks compares the difference of their advantages with √(h_i² + h_j²), h the half-widths of
    their intervals. That takes the locks for independent, and is wider than the truth for rows on the same images. Over
    seeds the test is Student's t; it has one degree of freedom less than the row with fewer seeds has seeds. Holm
    adjusts the p-values of all pairs, so the chance of any wrong order in the table is about 5 % at most.

    For 2 to 4 seeds h is of the t interval joined with the one over images: see `Value.bounds`.

    Args:
        values: advantages, points, each with an interval.
    """
    pairs = [(i, j) for i in range(len(values)) for j in range(i + 1, len(values))]
    halves = [_half(value) for value in values]
    arms = {(i, j): float(np.hypot(halves[i], halves[j])) for i, j in pairs}
    difference = {(i, j): values[j].mean - values[i].mean for i, j in pairs}  # the least advantage is best
    seeds = {(i, j): min((v.n_seeds for v in (values[i], values[j]) if v.kind != IMAGES), default=0) for i, j in pairs}
    p = statistics.holm(
        [statistics.p_of_interval(difference[x], arms[x], seeds[x] - 1 if seeds[x] > 1 else None) for x in pairs]
    )
    intervals = {
        pair: (difference[pair],) * 2 if adjusted <= 0.05 else (-np.inf, np.inf)
        for pair, adjusted in zip(pairs, p, strict=True)
    }
    return statistics.ranks([-v.mean for v in values], intervals)


def _half(value: Value) -> float:
    low, high = value.bounds or (value.mean, value.mean)
    return max(high - value.mean, value.mean - low)


def best(rows: Sequence[Row]) -> Row | None:
    """The row of the lock that holds better than every other beyond noise, if there is one."""
    return next((row for row, rank in places(rows) if rank == (1, 1)), None)
