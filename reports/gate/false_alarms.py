"""How often the gate is wrong: ``python -m reports.gate.false_alarms STORE-OR-BASELINE [--suite SUITE]``.

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

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import plan
from bench.errors import UserError
from bench.store import Store
from reports.gate import snapshot as baseline
from reports.gate.rule import CANDIDATE_SEEDS, RATE, Line, judge, lines
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a store or a baseline file."""
    parser = argparse.ArgumentParser(
        prog="python -m reports.gate.false_alarms", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("source", type=Path, help="a store, or a file that `bench baseline save` wrote")
    parser.add_argument("--suite", help="only the rows of this suite: a name or a .toml file")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs for each way of drawing, at least 500")
    parser.add_argument("--rate", type=float, default=RATE, help="the gate's stated rate")
    told = parser.parse_args(arguments)
    console = Console()
    try:
        if told.pairs < 500:
            raise UserError("--pairs is below 500.", "Fewer say too little about a rate of 1 %.")
        planned = [] if told.suite is None else plan.build(plan.read_suite(told.suite))
        rows = {p.cell.row_key() for p in planned if p.required} or None
        if told.source.is_dir():
            store = Store(told.source, write=False)
            taken = baseline.snapshot(store.records(), store.evidence, rows)
        else:
            taken = baseline.read(told.source)
            taken.rows = [row for row in taken.rows if rows is None or row.row_key in rows]
        if not taken.rows:
            raise UserError(f"{told.source} has none of these rows.", f"Run: bench run --suite {told.suite or 'ci'}")
        baseline.check_complete(taken)
        found = list(lines(taken.rows).values())
        console.print(table(study(found, told.pairs, told.rate), told.rate, len(found)))
    except UserError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
