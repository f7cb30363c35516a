"""How far two stores lie apart on cells that both measured. `bench compare STORE STORE` prints it.

Another machine, device or library version rounds otherwise, and a training run that rounds otherwise ends elsewhere.
With one seed, a difference smaller than these says nothing. Differences are in points. UP and LP are a lock's, once
for each seed. RP is an attack's, calibration and public baseline included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.plan.wording import in_short
from bench.records import Record
from reports.rows.aggregate import current
from reports.text.escaping import markdown as escape
from reports.text.markdown_table import markdown_table

FIELDS = ("UP", "LP", "RP")
WITHIN = (1.0, 5.0)
"""Differences, points: the table counts the cells within each."""
LONGEST = 10
"""Cells listed under "furthest apart"."""


@dataclass(frozen=True)
class Pair:
    """A field of one cell in both stores.

    Args:
        cell: in words.
        share: labelled share of the threat model.
        field: one of `FIELDS`.
        first, second: percent, in either store.
    """

    cell: str
    share: float
    field: str
    first: float
    second: float

    @property
    def apart(self) -> float:
        """The absolute difference, points."""
        return abs(self.first - self.second)


def pairs(first: Iterable[Record], second: Iterable[Record]) -> list[Pair]:
    """Every field of every cell that is ok in both, the furthest apart first."""
    left, right = (
        {(r.row_key, r.cell.replicate): r for r in current(records) if r.status == "ok"} for records in (first, second)
    )
    out = []
    for key in left.keys() & right.keys():
        one, other = left[key], right[key]
        for field in ("UP", "LP") if one.cell.attack.purpose == "no-attack" else ("RP",):
            a, b = getattr(one, field), getattr(other, field)
            if a is not None and b is not None:
                share = one.cell.threat.share
                out.append(Pair(in_short(one.cell), share, field, a.value, b.value))
    return sorted(out, key=lambda pair: (-pair.apart, pair.cell, pair.field, pair.share))


def markdown(pairs: Sequence[Pair]) -> str:
    """Two tables: by field the number of cells and how far they lie apart, then the cells that lie furthest apart."""
    by_field = []
    for field in FIELDS:
        apart = [pair.apart for pair in pairs if pair.field == field]
        if apart:
            within = [sum(a <= w for a in apart) for w in WITHIN]
            by_field.append((field, len(apart), f"{np.median(apart):.1f}", *within, f"{max(apart):.1f}"))
    headings = ("", "cells", "median", *(f"within {w:g}" for w in WITHIN), "largest")
    furthest = [(escape(p.cell), f"{p.share:g}", p.field, f"{p.first:.1f}", f"{p.second:.1f}") for p in pairs[:LONGEST]]
    tables = (
        markdown_table(headings, by_field, "l" + "r" * (len(headings) - 1)),
        markdown_table(("furthest apart", "labels", "", "first", "second"), furthest, "lrlrr"),
    )
    return "\n\n".join(tables)
