"""How often the gate is wrong: ``bench false-alarms STORE-OR-BASELINE [--suite SUITE]``.

Baselines and candidates are drawn from the seeds that a store holds, at least 500 pairs of them, judged by the rule of
`reports.gate.rule`, and the pairs with any alarm are counted, with the Wilson interval of their rate. A seed is drawn
with all its lines, since a key that is hard to find is hard for every attack. Three ways of drawing, each blind elsewhere:

- *again*: baseline and candidate both with replacement. Outliers come as often as they were seen, and ties make the
  baseline look calmer than it is.
- *apart*: without replacement, the candidate from seeds that the baseline does not have. Nothing is seen twice, so the
  baseline has the seeds that are left over.
- *smoothed*: as *again*, with normal noise added to every value, so that values never seen occur: kernel density with
  Silverman's width, scaled so that the variance stays as it was.

A seed drawn for both counts as two: the rule's pairs, which would hold more alarms back, have none. With 8 stored seeds
*again* is calm for a reason of its own (a seed in both can not be worse than itself) and *apart* has a baseline of 6:
store 16 or more for a study. Wilson intervals are of the drawing alone, not of which seeds were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from bench.errors import UserError
from reports.gate import snapshot as baseline
from reports.gate.rule import CANDIDATE_SEEDS, RATE, Line, judge
from reports.rows.statistics import wilson

PAIRS = 1000
LEAST_LEFT = 6
"""Seeds that a baseline drawn *apart* must have left to say anything."""


@dataclass(frozen=True)
class Alarms:
    """``alarms`` of ``pairs`` had a line called regressed; ``worst`` names the line with most of them."""

    how: str
    baseline: int
    candidate: int
    pairs: int
    alarms: int
    worst: str

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the rate."""
        return wilson(self.alarms, self.pairs)


def study(
    found: Sequence[Line], pairs: int = PAIRS, rate: float = RATE, seeds: int = baseline.SEEDS, seed: int = 0
) -> list[Alarms]:
    """The false alarms of ``found``'s own seeds under each way of drawing.

    Args:
        found: lines that have the same seeds.
        pairs: of a baseline and a candidate, a way.
        rate: what the gate states.
        seeds: of a drawn baseline.
        seed: of the drawing.

    Raises:
        UserError: too few seeds to draw from.
    """
    shared = sorted(set.intersection(*({*line.values} for line in found)) if found else set())
    if len(shared) < baseline.SEEDS:
        raise UserError(
            f"{len(shared)} seeds are shared by all rows; the study draws from at least {baseline.SEEDS}.",
            f"Run more: bench run --suite ci --seeds {baseline.SEEDS}",
        )
    rng = np.random.default_rng(seed)
    apart = min(seeds, len(shared) - CANDIDATE_SEEDS)

    def again() -> tuple[list[int], list[int]]:
        return list(rng.choice(shared, seeds)), list(rng.choice(shared, CANDIDATE_SEEDS))

    def without() -> tuple[list[int], list[int]]:
        drawn = list(rng.permutation(shared))
        return drawn[:apart], drawn[apart : apart + CANDIDATE_SEEDS]

    out = [_count("again", found, again, pairs, rate)]
    if apart >= LEAST_LEFT:
        out.append(_count("apart", found, without, pairs, rate))
    out.append(_count("smoothed", found, again, pairs, rate, rng))
    return out


def _count(
    how: str,
    found: Sequence[Line],
    draw: Callable[[], tuple[list[int], list[int]]],
    pairs: int,
    rate: float,
    smooth: np.random.Generator | None = None,
) -> Alarms:
    alarmed, by_line, sizes = 0, np.zeros(len(found), dtype=int), (0, 0)
    for _ in range(pairs):
        old, new = draw()
        sizes = len(old), len(new)
        hits = [
            judge(_drawn(line, old, 0, smooth), _drawn(line, new, 10_000, smooth), rate / len(found)).verdict
            == "regressed"
            for line in found
        ]
        by_line += hits
        alarmed += any(hits)
    worst = found[int(by_line.argmax())]
    return Alarms(how, *sizes, pairs, alarmed, f"{worst.metric} of {worst.name} ({by_line.max()})" if alarmed else "")


def _drawn(line: Line, seeds: Sequence[int], first: int, smooth: np.random.Generator | None) -> Line:
    """``line`` over other seeds, numbered anew from ``first``."""
    values = np.array([line.values[s] for s in seeds])
    if smooth is not None:
        pool = np.array(list(line.values.values()))
        width = float(pool.std(ddof=1)) * 1.06 * len(pool) ** -0.2
        shrink = 1 / np.sqrt(1 + (width / pool.std(ddof=1)) ** 2) if width else 1.0
        values = pool.mean() + shrink * (values - pool.mean() + width * smooth.normal(size=len(values)))
        values = np.clip(values, 0, 100)
    numbers = range(first, first + len(seeds))
    right = dict(zip(numbers, (line.right[s] for s in seeds), strict=True))
    return replace(line, values=dict(zip(numbers, values.tolist(), strict=True)), right=right)


def table(found: Sequence[Alarms], rate: float, n_lines: int) -> Table:
    """`study` for the terminal."""
    caption = (
        f"{n_lines} lines a table; stated rate {100 * rate:g} %; rates with 95 % Wilson intervals. "
        "Intervals are of the drawing, not of which seeds were stored. What the ways mean: reports/gate_study.py."
    )
    out = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for name in ("drawn", "baseline seeds", "candidate seeds", "pairs", "false alarms", "rate %", "most by"):
        out.add_column(name, overflow="fold", justify="left" if name in ("drawn", "most by") else "right")
    for row in found:
        low, high = row.interval
        said = f"{100 * row.alarms / row.pairs:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        out.add_row(
            row.how, str(row.baseline), str(row.candidate), str(row.pairs), str(row.alarms), said, row.worst or "—"
        )
    return out
