"""Coverage of each interval of the suite as a Markdown table: ``python -m tools.coverage``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

from reports.rows.statistics import NESTED_FROM
from tools.coverage import trials
from tools.coverage.world import Population, World

MEANS = (10.0, 50.0, 95.0)
"""Percent: a lock that holds, one that leaks, one that is open."""
SPREADS = (1.0, 5.0, 15.0)
"""Points between seeds."""
SEEDS = (1, 3, 5, 8)
BASELINE, LP, ORACLE = 40.0, 20.0, 97.0
"""Percent: what stands beside RP."""

TRUTHS = {
    "these_seeds": "these seeds, other images (images interval)",
    "these_images": "other seeds, these images",
    "population": "other seeds, other images",
    "joined": "the same, as verdicts join both",
}
"""What an interval is held against, by the field of `trials.Hits`."""

Trial = Callable[[World, Population], trials.Hits]
"""The trials of one quantity, RP being of that population."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__)
    parser.add_argument("--replicates", type=int, default=500, help="rows simulated for each number")
    parser.add_argument("--images", type=int, nargs="+", default=[200, 360, 1000], help="test images of UP, LP, RP")
    parser.add_argument("--derived", type=int, nargs="*", default=[360], help="test images of the other values")
    parser.add_argument("--shared", type=float, default=0.5, help="part of an answer's variance that is the image's")
    options = parser.parse_args()
    for line in report(options.replicates, options.images, options.derived, options.shared):
        print(line, flush=True)


def report(replicates: int, images: Sequence[int], derived: Sequence[int], shared: float) -> Iterator[str]:
    """The lines of one table.

    Args:
        replicates: of each cell.
        images: sizes of the test split for performances.
        derived: sizes of the test split for advantage, recovery and ranks.
        shared: as in `World`.
    """
    columns = " | ".join(f"spread {spread:g}" for spread in SPREADS)
    yield f"| value | n | seeds | holds for | {columns} |"
    yield "|---|--:|--:|---|--:|--:|--:|"

    def performance(world: World, rp: Population) -> trials.Hits:
        return trials.performance(world, rp, replicates, 0)

    def advantage(world: World, rp: Population) -> trials.Hits:
        return trials.advantage(world, rp, Population(BASELINE, rp.spread), replicates, 1)

    def recovery(world: World, rp: Population) -> trials.Hits:
        return trials.recovery(world, rp, Population(LP, rp.spread), Population(ORACLE, 1.0), replicates, 2)

    def apart(world: World, rp: Population) -> trials.Hits:
        return trials.advantage(world, rp, Population(BASELINE, rp.spread), replicates, 4, own_images=True)

    for n in images:
        yield from _rows("UP, LP, RP", n, shared, performance)
    for n in derived:
        yield from _rows("advantage", n, shared, advantage)
        yield from _rows("advantage, hard images of its own", n, shared, apart)
        yield from _rows("recovery", n, shared, recovery)
        for seeds in SEEDS:
            cells = [[_ranks(World(n, seeds, shared), m, spread, replicates) for m in MEANS] for spread in SPREADS]
            yield f"| ranks of {trials.LOCKS} equal locks | {n} | {seeds} | no wrong order | {_cells(cells)} |"


def _ranks(world: World, mean: float, spread: float, replicates: int) -> float:
    equal = [Population(mean, spread)] * trials.LOCKS
    return trials.sound_ranks(world, equal, Population(BASELINE, spread), replicates, 3)


def _rows(what: str, n: int, shared: float, trial: Trial) -> Iterator[str]:
    """The rows of one quantity: each number of seeds, each truth that its intervals may be held against."""
    for seeds in SEEDS:
        world = World(n, seeds, shared)
        hits = [[trial(world, Population(mean, spread)) for mean in MEANS] for spread in SPREADS]
        for name, words in TRUTHS.items():
            headline = name == "these_seeds" if seeds == 1 else seeds < NESTED_FROM or name == "population"
            if headline and getattr(hits[0][0], name):
                cells = _cells([[one.rate(name) for one in column] for column in hits])
                yield f"| {what} | {n} | {seeds} | {words} | {cells} |"


def _cells(columns: list[list[float]]) -> str:
    return " | ".join(" · ".join(f"{rate:.1f}" for rate in column) for column in columns)


if __name__ == "__main__":
    main()
