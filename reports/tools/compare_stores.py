"""How far two stores lie apart on cells that both measured.

``bench compare STORE STORE`` prints it.

The same cells on another machine, device or version of a library round otherwise, and a training run that rounds
otherwise ends elsewhere: with one seed, a difference smaller than these says nothing. Differences are of percentages,
in points. UP and LP are a lock's, once for each seed; RP is an attack's, calibration and public baseline included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.plan.wording import in_short
from bench.records import Record
from reports.rows.aggregate import current

FIELDS = ("UP", "LP", "RP")
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
        for field in ("UP", "LP") if one.cell.attack.purpose == "no-attack" else ("RP",):
            a, b = getattr(one, field), getattr(other, field)
            if a is not None and b is not None:
                share = one.cell.threat.share
                out.append(Pair(in_short(one.cell), share, field, a.value, b.value))
    return sorted(out, key=lambda pair: (-pair.apart, pair.cell, pair.field, pair.share))


def markdown(pairs: Sequence[Pair]) -> str:
    """By field how many cells, the median and the largest difference, and how many lie within; then the largest."""
    lines = [
        "| | cells | median | " + " | ".join(f"within {w:g}" for w in WITHIN) + " | largest |",
        "|---|--:|--:|" + "--:|" * len(WITHIN) + "--:|",
    ]
    for field in FIELDS:
        apart = [pair.apart for pair in pairs if pair.field == field]
        if apart:
            within = " | ".join(str(sum(a <= w for a in apart)) for w in WITHIN)
            lines.append(f"| {field} | {len(apart)} | {np.median(apart):.1f} | {within} | {max(apart):.1f} |")
    lines += ["", "| furthest apart | labels | | first | second |", "|---|--:|---|--:|--:|"]
    for pair in pairs[:SHOWN]:
        lines.append(f"| {pair.cell} | {pair.share:g} | {pair.field} | {pair.first:.1f} | {pair.second:.1f} |")
    return "\n".join(lines)
