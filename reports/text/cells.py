"""The tables of a group as cells of text, for every format that prints tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.rows import calibration, domain
from reports.rows.intervals import Value
from reports.rows.ranking import best
from reports.rows.row import ConditionRow, Row
from reports.text.captions import LEGEND, alarms, notes
from reports.text.formatting import (
    DASH,
    HEADINGS,
    TRANSDUCTIVE,
    digits,
    interval,
    number,
    seeds_list,
    seeds_words,
    with_interval,
)
from reports.text.groups import Group, flag_numbers, lock_name, title

MAIN = (
    "victim_authorised", "UP", "UP_shipped", "LP", "LP_shipped", "RP", "oracle", "public_baseline", "advantage",
    "recovery", "authorised_after",
)  # fmt: skip
OPTIONAL = ("UP_shipped", "LP_shipped", "authorised_after")
"""Fields without a column where no row of the group has them."""
DOMAIN_HEADINGS = ("lock", "seeds", "source (A_s)", "target (A_t)", *domain.HEADINGS.values())
_DOMAIN_CAPTION = (
    "No attack. Source drop: the victim's source accuracy less the lock's, points. Target drop: what the lock took of "
    "the victim's target accuracy, percent of it. ST-D: relative source drop over relative target drop, lower is "
    f"better; undefined where the target drop is under {domain.LEAST_DROP:g} %. Intervals as above."
)


class Cell(NamedTuple):
    """A cell's text, the interval beside it, and whether it is the best of its column beyond noise."""

    text: str
    beside: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        title: what it is of.
        headings: one for each column.
        align: ``l`` or ``r`` for each column.
        blocks: lines of cells under the heading of their block, which is empty where there is one block.
        captions: the sentences under it, one a line, without which it cannot be read.
        notes: what else to know of its numbers, one sentence a line.
    """

    title: str
    headings: Sequence[str]
    align: str
    blocks: Sequence[tuple[str, list[list[Cell]]]]
    captions: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def lines(self) -> list[list[Cell]]:
        """The lines of all blocks."""
        return [line for _, lines in self.blocks for line in lines]


def leaderboard(group: Group) -> Table:
    """The rows of a group by what may be ranked. The advantage of a lock that holds best beyond noise is marked."""
    shown = fields_of(group, MAIN)
    first = best(group.rankable())
    headings = ["lock", "key", "attack", "threat", "seeds", *map(heading, shown), "verdict", "flags"]
    blocks = [(b.heading, [_line(group, row, shown, row is first) for row in b.rows]) for b in group.blocks()]
    return Table(
        title(group), headings, "lllll" + "r" * len(shown) + "ll", blocks, [*alarms(group), LEGEND], notes(group)
    )


def side_tables(group: Group) -> Iterator[Table]:
    """Beside the leaderboard: source and target of domain locks, and the key conditions of each lock."""
    if pairs := [row for row in group.rows if row.drops is not None]:
        text = " ".join(part for part in (_DOMAIN_CAPTION, domain_counts(pairs)) if part)
        lines = [_domain_line(row) for row in pairs]
        yield Table("Source and target", DOMAIN_HEADINGS, "llrrrrrr", [("", lines)], [text])
    for row in group.lock_rows():
        lines = [_condition_line(condition) for condition in row.conditions]
        name = f"Key conditions of {row.lock} with key {row.key}"
        headings = ("condition", "what was applied", row.metric, "shipped", "seeds")
        yield Table(name, headings, "llrrr", [("", lines)], [_condition_caption(group, row)])


def heading(field: str) -> str:
    """The heading of a field's column."""
    return "LP (K classes)" if field == "LP" else HEADINGS[field]


def fields_of(group: Group, fields: Sequence[str]) -> list[str]:
    """Those of ``fields`` that a table of the group has columns for."""
    return [name for name in fields if name not in OPTIONAL or any(row.values[name] for row in group.rows)]


def verdict(row: Row) -> str:
    """The verdict with what speaks against it: an invalid row's reason, a control that misses, what does not count."""
    words = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
    return "; ".join([words, *condition(row), *(["controls missing"] if row.missing else []), *lost(row)])


def condition(row: Row) -> list[str]:
    """What a control misses that no noise explains."""
    return ["condition missed"] if calibration.outside(row) else []


def lost(row: Row) -> list[str]:
    """What a measured row does not count: seeds that are invalid or failed, members of an ensemble."""
    if row.status != "ok":
        return []
    words = [
        f"{seeds_words(seeds)} {status}" for status, seeds in row.others.items() if status in ("invalid", "failed")
    ]
    n = 0 if row.ensemble is None else len(row.ensemble.left_out)
    return words + ([f"{n} member{'s' if n > 1 else ''} not counted"] if n else [])


def attack_mark(row: Row) -> str:
    """What stands behind the attack of a transductive row; empty behind others."""
    return f" {TRANSDUCTIVE}" if row.transductive else ""


def domain_counts(rows: Sequence[Row]) -> str:
    """Whether the pair of domains counts, read off the row with the most seeds; empty where it is not known."""
    most = max(rows, key=lambda row: len(row.seeds))
    victim, floor = most.values["oracle"], most.values["floor"]
    return "" if victim is None or floor is None else domain.counts(victim, floor)


def drop_digits(name: str) -> int:
    """Decimals printed of what `reports.rows.domain` derives: three for ST-D, a ratio, and one for the others."""
    return 3 if name == "st_d" else 1


def _line(group: Group, row: Row, shown: Sequence[str], first: bool) -> list[Cell]:
    flags = flag_numbers(group)
    numbers = [_cell(row.values[name], digits(name), first and name == "advantage") for name in shown]
    marks = " ".join(f"[{flags[name]}]" for name in row.flags) or DASH
    texts = [row.lock, row.key, row.attack + attack_mark(row), f"({group.threat(row)})", seeds_list(row.seeds)]
    return [*map(Cell, texts), *numbers, Cell(verdict(row)), Cell(marks)]


def _cell(value: Value | None, decimals: int, best: bool = False) -> Cell:
    if value is None:
        return Cell(DASH, best=best)
    return Cell(number(value.mean, decimals), interval(value, decimals), best)


def _domain_line(row: Row) -> list[Cell]:
    sides = [_cell(row.values[name], 1) for name in ("UP", "LP")]
    drops = [_cell(value, drop_digits(name)) for name, value in (row.drops or {}).items()]
    return [Cell(lock_name(row)), Cell(seeds_list(row.seeds)), *sides, *drops]


def _condition_line(condition: ConditionRow) -> list[Cell]:
    shipped = number(None if condition.shipped is None else condition.shipped.mean)
    seeds = str(condition.accuracy.n_seeds)
    return [Cell(condition.name), Cell(condition.applied), _cell(condition.accuracy, 1), Cell(shipped), Cell(seeds)]


def _condition_caption(group: Group, row: Row) -> str:
    by_n: dict[int | None, list[str]] = {}
    for condition in row.conditions:
        by_n.setdefault(condition.n, []).append(condition.name)
    sizes = "; ".join(f"{n} ({', '.join(names)})" for n, names in by_n.items()) if len(by_n) > 1 else str(*by_n)
    return condition_words(row, f"test images of {title(group)}", f"{sizes}; {seeds_words(row.seeds)}", "Intervals")


def condition_words(row: Row, images: str, sizes: str, intervals: str) -> str:
    """What stands under a lock's key conditions, in a table or a chart.

    Args:
        images: which images.
        sizes: how many, and the seeds.
        intervals: what the 95 % intervals are called here.
    """
    kinds = dict.fromkeys(c.accuracy.kind for c in row.conditions if c.accuracy.kind)
    source = f"{intervals}: 95 %, {'; '.join(kinds)}." if kinds else "No intervals: none were recorded."
    oracle, floor = with_interval(row.values["oracle"]), with_interval(row.values["floor"])
    return (
        f"The locked model on {images}, no attack; percent over the K real classes. n = {sizes}. {source}"
        f" Controls: the victim on unauthorised images {oracle}, the floor {floor}."
        " Selection rule: none, nothing is chosen."
    )
