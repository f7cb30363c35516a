"""How often the gate is wrong: ``bench false-alarms STORE-OR-FILE [--suite SUITE]``.

The study draws pairs of a snapshot and a candidate from the seeds of one store, and judges each pair by the rule of
`reports.gate.rule`. Nothing has changed between them, so every alarm is false. The rate of pairs with any alarm comes
with its Wilson interval. A seed is drawn with all its lines, since a key that is hard to find is hard for every attack.

There are four ways to draw, each blind elsewhere:

- *again*: both with replacement. Outliers come as often as they were seen. Ties make the snapshot look calmer than it
  is.
- *apart*: without replacement, so that the two share no seed. The snapshot has the seeds that are left over.
- *smoothed*: as *again*, with normal noise added to every value, so that new values occur. It is a kernel density with
  Silverman's width, scaled so that the variance stays as it was.
- *in pairs*: as *smoothed*, with as many seeds for the candidate as the snapshot has, under the same numbers. So the
  rule judges by pairs, and no pair has anything in common: the worst case of pairing.

Each pair is judged once more with one line, drawn anew each time, worse by what it *could see*. The share that is
caught should be 80 %, the chance that the gate states.

Elsewhere a seed drawn for both counts as two seeds. So the rule's pairs, which would hold more alarms back, do not
occur. With 8 stored seeds *again* is calm for a reason of its own (a seed in both cannot be worse than itself) and
*apart* has a snapshot of 6 seeds: store 16 or more for a study. Wilson intervals are of the drawing alone, not of which
seeds were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from bench.errors import UserError
from reports.gate.comparable import CANDIDATE_SEEDS
from reports.gate.lines import Line
from reports.gate.rule import RATE, judge
from reports.gate.snapshot import SEEDS
from reports.rows.statistics import wilson

PAIRS = 1000
LEAST_LEFT = 6
"""Seeds that the snapshot needs under *apart*; with fewer, that way is left out."""


@dataclass(frozen=True)
class Alarms:
    """The false alarms of one way of drawing.

    Args:
        how: again, apart, smoothed or in pairs.
        before, after: seeds of a snapshot and of a candidate.
        pairs: of a snapshot and a candidate.
        alarms: pairs with a regressed line.
        worst: the line with most alarms; empty without alarms.
        caught: pairs in which one line, made worse by what it could see, regressed.
    """

    how: str
    before: int
    after: int
    pairs: int
    alarms: int
    worst: str
    caught: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the rate."""
        return wilson(self.alarms, self.pairs)


def study(
    lines: Sequence[Line], pairs: int = PAIRS, rate: float = RATE, seeds: int = SEEDS, seed: int = 0
) -> list[Alarms]:
    """The false alarms among the seeds of ``lines``, for each way of drawing.

    Args:
        lines: with at least 8 seeds in common.
        pairs: of a snapshot and a candidate, for each way.
        rate: chance of a false alarm that the gate states.
        seeds: of a snapshot.
        seed: of the drawing.

    Raises:
        UserError: too few seeds to draw from.
    """
    shared = sorted(set.intersection(*({*line.values} for line in lines)) if lines else set())
    if len(shared) < SEEDS:
        raise UserError(
            f"{len(shared)} seeds are shared by all rows; the study draws from at least {SEEDS}.",
            f"Run more: bench run --suite ci --seeds {SEEDS}",
        )
    rng = np.random.default_rng(seed)
    apart = min(seeds, len(shared) - CANDIDATE_SEEDS)

    def again() -> tuple[list[int], list[int]]:
        return list(rng.choice(shared, seeds)), list(rng.choice(shared, CANDIDATE_SEEDS))

    def without() -> tuple[list[int], list[int]]:
        order = list(rng.permutation(shared))
        return order[:apart], order[apart : apart + CANDIDATE_SEEDS]

    out = [_count("again", lines, again, pairs, rate)]
    if apart >= LEAST_LEFT:
        out.append(_count("apart", lines, without, pairs, rate))
    out.append(_count("smoothed", lines, again, pairs, rate, rng))

    def alike() -> tuple[list[int], list[int]]:
        return list(rng.choice(shared, seeds)), list(rng.choice(shared, seeds))

    out.append(_count("in pairs", lines, alike, pairs, rate, rng, first=0))
    return out


def _count(
    how: str,
    lines: Sequence[Line],
    draw: Callable[[], tuple[list[int], list[int]]],
    pairs: int,
    rate: float,
    smooth: np.random.Generator | None = None,
    first: int = 10_000,
) -> Alarms:
    """The alarms of one way; the candidate's seeds are numbered from ``first``, the snapshot's from 0."""
    alarmed, caught, by_line, sizes = 0, 0, np.zeros(len(lines), dtype=int), (0, 0)
    level = rate / len(lines)
    chosen = np.random.default_rng(1)
    for _ in range(pairs):
        old, new = draw()
        sizes = len(old), len(new)
        samples = [(_sample(line, old, 0, smooth), _sample(line, new, first, smooth)) for line in lines]
        hits = [judge(a, b, level).verdict == "regressed" for a, b in samples]
        by_line += hits
        alarmed += any(hits)
        before, after = samples[chosen.integers(len(lines))]
        step = before.sign * judge(before, after, level, power=True).detectable
        worse = replace(after, values={n: value + step for n, value in after.values.items()}, right={})
        caught += judge(before, worse, level).verdict == "regressed"
    worst = lines[int(by_line.argmax())]
    name = f"{worst.metric} of {worst.name} ({by_line.max()})" if alarmed else ""
    return Alarms(how, *sizes, pairs, alarmed, name, caught)


def _sample(line: Line, seeds: Sequence[int], first: int, smooth: np.random.Generator | None) -> Line:
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


def table(study: Sequence[Alarms], rate: float, n_lines: int) -> Table:
    """A study for the terminal."""
    caption = (
        f"{n_lines} lines a table; stated rate {100 * rate:g} %; rates with 95 % Wilson intervals. "
        "Intervals are of the drawing, not of which seeds were stored. Caught: one line worse by what it could see, "
        "which the gate states as 80 %. The ways: reports/gate/false_alarms.py."
    )
    out = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for name in ("way", "snapshot seeds", "candidate seeds", "pairs", "false alarms", "rate %", "caught %", "most by"):
        out.add_column(name, overflow="fold", justify="left" if name in ("way", "most by") else "right")
    for row in study:
        low, high = row.interval
        share = f"{100 * row.alarms / row.pairs:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        caught = f"{100 * row.caught / row.pairs:.0f}"
        counts = map(str, (row.before, row.after, row.pairs, row.alarms))
        out.add_row(row.how, *counts, share, caught, row.worst or "—")
    return out
