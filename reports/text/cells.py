"""Tables as headings and cells of text, before any markup: what Markdown and LaTeX both print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.rows import domain
from reports.rows.intervals import Value
from reports.rows.ranking import best
from reports.rows.row import ConditionRow, Row
from reports.text.captions import captions
from reports.text.formatting import (
    DASH,
    HEADINGS,
    TRANSDUCTIVE,
    digits,
    interval,
    number,
    seeds_words,
    verdict_words,
    with_interval,
)
from reports.text.groups import Group, flag_numbers, title

COLUMNS = (
    "victim_authorised", "UP", "UP_shipped", "LP", "LP_shipped", "RP", "oracle", "public_baseline", "advantage",
    "recovery", "authorised_after",
)  # fmt: skip
OPTIONAL = ("UP_shipped", "LP_shipped", "authorised_after")
"""Columns that a table leaves out where no row has the value."""
DOMAIN_HEADINGS = ("lock", "seeds", "source (A_s)", "target (A_t)", *domain.HEADINGS.values())
CONDITION_HEADINGS = ("condition", "what was applied", "accuracy", "shipped", "seeds")


class Cell(NamedTuple):
    """The text of a cell, the interval beside it (or nothing), and whether it is the best of its column."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Section:
    """Rows of a table under a heading of their own; the heading is empty where the table has one section."""

    heading: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Table:
    """One table: ``align`` has l or r for each column; the title of a group's main table is empty."""

    title: str
    headings: Sequence[str]
    align: str
    sections: list[Section]
    captions: list[str]


def tables(group: Group) -> Iterable[Table]:
    """The main table of a group, that of its pairs of domains, and the key conditions of each lock."""
    yield _main(group)
    if pairs := [row for row in group.rows if row.drops is not None]:
        section = Section("", [_domain_cells(row) for row in pairs])
        yield Table("Source and target", DOMAIN_HEADINGS, "llrrrrrr", [section], [_domain_caption(pairs)])
    for row in group.lock_rows():
        section = Section("", [_condition_cells(c) for c in row.conditions])
        heading = f"Key conditions of {row.lock} with key {row.key}"
        yield Table(heading, CONDITION_HEADINGS, "llrrr", [section], [_condition_caption(group, row)])


def shown(group: Group, columns: Sequence[str] = COLUMNS) -> list[str]:
    """Of ``columns``, those that a table of ``group`` has."""
    return [name for name in columns if name not in OPTIONAL or any(row.values[name] for row in group.rows)]


def heading(name: str) -> str:
    """The heading of a column of numbers."""
    return "LP (K classes)" if name == "LP" else HEADINGS[name]


def cell(value: Value | None, decimals: int = 1, best: bool = False) -> Cell:
    """A number with its interval."""
    return Cell(DASH) if value is None else Cell(number(value.mean, decimals), interval(value, decimals), best)


def _main(group: Group) -> Table:
    names = shown(group)
    headings = ["lock", "key", "attack", "threat", "seeds", *map(heading, names), "verdict", "flags"]
    first = best(group.rankable())
    flags = flag_numbers(group)
    sections = [
        Section(block.heading, [_row_cells(group, row, names, flags, row is first) for row in block.rows])
        for block in group.blocks()
    ]
    return Table("", headings, f"lllll{'r' * len(names)}ll", sections, captions(group))


def _row_cells(group: Group, row: Row, names: Sequence[str], flags: dict[str, int], first: bool) -> list[Cell]:
    mark = f" {TRANSDUCTIVE}" if row.transductive else ""
    seeds = seeds_words(row.seeds).partition(" ")[2]
    words = [row.lock, row.key, row.attack + mark, f"({group.threat(row)})", seeds]
    numbers = [cell(row.values[name], digits(name), first and name == "advantage") for name in names]
    raised = " ".join(f"[{flags[name]}]" for name in row.flags) or DASH
    return [*map(Cell, words), *numbers, Cell(verdict_words(row)), Cell(raised)]


def _domain_cells(row: Row) -> list[Cell]:
    sides = [cell(row.values[name], 1) for name in ("UP", "LP")]
    drops = [cell(value, 3 if name == "st_d" else 1) for name, value in (row.drops or {}).items()]
    return [Cell(row.lock), Cell(seeds_words(row.seeds).partition(" ")[2]), *sides, *drops]


def domain_counts(rows: Iterable[Row]) -> str:
    """Whether the pair of domains counts, by the row with the most seeds; empty where that is not known."""
    most = max(rows, key=lambda row: len(row.seeds))
    victim, floor = most.values["oracle"], most.values["floor"]
    return "" if victim is None or floor is None else domain.counts(victim, floor)


def _domain_caption(pairs: Sequence[Row]) -> str:
    text = (
        "No attack. Source drop: the victim's source accuracy less the lock's, points. Target drop: what the lock took "
        "of the victim's target accuracy, percent of it. ST-D: relative source drop over relative target drop, lower "
        f"is better; undefined where the target drop is under {domain.LEAST_DROP:g} %. Intervals as above."
    )
    return f"{text} {domain_counts(pairs)}".strip()


def _condition_cells(c: ConditionRow) -> list[Cell]:
    shipped = number(None if c.shipped is None else c.shipped.mean)
    return [Cell(c.name), Cell(c.what), cell(c.accuracy), Cell(shipped), Cell(str(c.accuracy.n_seeds))]


def _condition_caption(group: Group, row: Row) -> str:
    kinds = dict.fromkeys(c.accuracy.kind for c in row.conditions if c.accuracy.kind)
    source = f"Intervals: 95 %, {'; '.join(kinds)}." if kinds else "No intervals: none were recorded."
    by_n: dict[int | None, list[str]] = {}
    for c in row.conditions:
        by_n.setdefault(c.n, []).append(c.name)
    sizes = "; ".join(f"{n} ({', '.join(names)})" for n, names in by_n.items()) if len(by_n) > 1 else str(*by_n)
    return (
        f"The locked model on test images of {title(group)}, no attack; percent over the K real classes."
        f" n = {sizes}; {seeds_words(row.seeds)}. {source} {condition_controls(row)}"
    )


def condition_controls(row: Row) -> str:
    """The controls and the selection rule that stand beside key conditions."""
    oracle, floor = with_interval(row.values["oracle"]), with_interval(row.values["floor"])
    return (
        f"Controls: the victim on unauthorised images {oracle}, the floor {floor}."
        " Selection rule: none, nothing is chosen."
    )
