"""Which lock holds best, as far as noise can tell: places over the worst case of each lock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.rows import statistics
from reports.rows.intervals import IMAGES, Value
from reports.rows.row import Row
from reports.rows.worst import worst


def places(rows: Sequence[Row]) -> list[tuple[Row, tuple[int, int]]]:
    """The row that stands for each lock that may be ranked, with the lock's (best, worst) rank; 1 holds best.

    A lock's worst case is that of `reports.rows.worst`; `ranges` compares them.

    Args:
        rows: of one table, and of locks that may be ranked.
    """
    pools: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        value = row.values["advantage"]
        if value is not None and value.half is not None:
            pools.setdefault((row.lock, row.key), []).append(row)
    rivals = [stands for pool in pools.values() if (stands := worst(pool)) is not None]
    values = [v for row in rivals if (v := row.values["advantage"]) is not None]
    if len(rivals) < 2:
        return []
    return list(zip(rivals, ranges(values), strict=True))


def ranges(values: Sequence[Value]) -> list[tuple[int, int]]:
    """The (best, worst) rank of each lock by its worst-case advantage; 1 is the least.

    A test of each pair of locks compares the difference of their advantages with √(h_i² + h_j²), h the half-widths of
    their intervals. That takes the locks for independent, and is wider than the truth for rows on the same images. Over
    seeds the test is Student's t; it has one degree of freedom less than the row with fewer seeds has seeds. Holm
    adjusts the p-values of all pairs, so the chance of any wrong order in the table is about 5 % at most.

    Seeds that agree to the last image have a t interval without width. Then h is that of the interval over images.

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
    if not value.half and value.images is not None:
        return max(value.images[1] - value.mean, value.mean - value.images[0])
    return value.half or 0.0


def best(rows: Sequence[Row]) -> Row | None:
    """The row of the lock that holds better than every other beyond noise, if there is one."""
    return next((row for row, rank in places(rows) if rank == (1, 1)), None)
