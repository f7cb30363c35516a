"""How far two stores lie apart on cells that both measured.

``python -m reports.tools.compare_stores STORE STORE`` prints Markdown.

The same cells on another machine, device or version of a library round otherwise, and a training run that rounds
otherwise ends elsewhere: with one seed, a difference smaller than these says nothing. Differences are of percentages,
in points. UP and LP are a lock's, once for each seed; RP is an attack's, calibration and public baseline included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cli.console import in_short
from bench.errors import UserError
from bench.records import Record
from bench.store import Store
from reports.rows.aggregate import current

FIELDS = ("UP", "LP", "RP")
WITHOUT = "none"
"""The attack that is none: its cell stands for the lock."""
WITHIN = (1.0, 5.0)
SHOWN = 10


@dataclass(frozen=True)
class Pair:
    """A field of one cell in both stores, in percent."""

    cell: str
    share: float
    field: str
    first: float
    second: float

    @property
    def apart(self) -> float:
        return abs(self.first - self.second)


def pairs(first: Iterable[Record], second: Iterable[Record]) -> list[Pair]:
    """Every field of every cell that is ok in both, the furthest apart first."""
    ours, theirs = (
        {(r.row_key, r.cell.replicate): r for r in current(own) if r.status == "ok"} for own in (first, second)
    )
    out = []
    for key in ours.keys() & theirs.keys():
        one, other = ours[key], theirs[key]
        for field in ("UP", "LP") if one.cell.attack.name == WITHOUT else ("RP",):
            a, b = getattr(one, field), getattr(other, field)
            if a is not None and b is not None:
                share = float(one.cell.threat["share"])
                out.append(Pair(in_short(one.cell), share, field, a.value, b.value))
    return sorted(out, key=lambda pair: (-pair.apart, pair.cell, pair.field, pair.share))


def markdown(found: Sequence[Pair]) -> str:
    """By field how many cells, the median and the largest difference, and how many lie within; then the largest."""
    lines = [
        "| | cells | median | " + " | ".join(f"within {w:g}" for w in WITHIN) + " | largest |",
        "|---|--:|--:|" + "--:|" * len(WITHIN) + "--:|",
    ]
    for field in FIELDS:
        apart = [pair.apart for pair in found if pair.field == field]
        if apart:
            within = " | ".join(str(sum(a <= w for a in apart)) for w in WITHIN)
            lines.append(f"| {field} | {len(apart)} | {np.median(apart):.1f} | {within} | {max(apart):.1f} |")
    lines += ["", "| furthest apart | labels | | first | second |", "|---|--:|---|--:|--:|"]
    for pair in found[:SHOWN]:
        lines.append(f"| {pair.cell} | {pair.share:g} | {pair.field} | {pair.first:.1f} | {pair.second:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how far two stores lie apart."""
    parser = argparse.ArgumentParser(
        prog="python -m reports.tools.compare_stores", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("stores", type=Path, nargs=2, metavar="STORE")
    told = parser.parse_args(arguments)
    try:
        first, second = (Store(store, write=False).records() for store in told.stores)
        found = pairs(first, second)
        if not found:
            raise UserError(
                "The two stores have no cell in common.", "Run the same suite with both: --store A, --store B"
            )
        print(markdown(found))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
