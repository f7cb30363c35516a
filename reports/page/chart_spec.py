"""What a chart is, before anything draws it: points, bars, levels, axes, and the words around them.

`reports.page.draw_plotly` draws it for the page and `reports.page.draw_png` into a file. Symbols and dashes have the
names of `reports.page.palette`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.page.palette import ORACLE, PUBLIC, SYMBOLS, WRONG
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.text.cells import lost
from reports.text.formatting import number, seeds_words
from reports.text.groups import lock_name


@dataclass(frozen=True)
class Point:
    """A point with what a reader is shown of it; arms are the lengths of its interval below and above."""

    x: float
    y: float
    words: str = ""
    x_arms: tuple[float, float] = (0.0, 0.0)
    y_arms: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Series:
    """Points under one name.

    Args:
        name: as tooltips and the legend print it.
        points: in the order of the line.
        colour: #rrggbb.
        symbol: of the points; empty: none is drawn.
        dash: of the line; empty: none is drawn.
        stepped: each value holds until the next point.
        width: of the line, pixels.
        opacity: 0 to 1.
        hollow: open symbols.
        legend: whether the legend names it.
    """

    name: str
    points: Sequence[Point]
    colour: str
    symbol: str = ""
    dash: str = ""
    stepped: bool = False
    width: float = 2.0
    opacity: float = 1.0
    hollow: bool = False
    legend: bool = True


@dataclass(frozen=True)
class Bar:
    """A horizontal bar; ``legend`` names its colour."""

    name: str
    what: str
    value: Value
    colour: str
    legend: str


@dataclass(frozen=True)
class Level:
    """A line across the chart at ``value`` of the axis ``axis``."""

    value: float
    name: str
    colour: str
    dash: str
    axis: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Axis:
    """An axis; without a range it fits what is drawn, without ticks they are chosen by what draws."""

    title: str
    range: tuple[float, float] | None = None
    log: bool = False
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class Mark:
    """One line of a legend: a symbol, a dash, or both."""

    name: str
    colour: str
    symbol: str = ""
    dash: str = ""
    opacity: float = 1.0
    hollow: bool = False

    @property
    def glyph(self) -> str:
        """The symbol as a character."""
        return SYMBOLS[self.symbol].glyph if self.symbol else ""


@dataclass(frozen=True)
class Table:
    """The numbers of a chart as text: the first ``words`` columns hold words, the others numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        id: names it on its page.
        title: what it is of.
        place: where it stands in a study: scenario, model, seeds. Files print it; a page says it elsewhere.
        caption: how to read it.
        x, y: the axes. Bars lie along x, one under the other.
        series, bars, levels: what is drawn.
        table: its numbers, where they are in no table elsewhere.
        height: pixels.
    """

    id: str
    title: str
    place: str
    caption: str
    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    bars: Sequence[Bar] = ()
    levels: Sequence[Level] = ()
    table: Table | None = None
    height: int = 420

    @property
    def marks(self) -> list[Mark]:
        """The legend."""
        marks = [Mark(s.name, s.colour, s.symbol, s.dash, s.opacity, s.hollow) for s in self.series if s.legend]
        marks += [Mark(bar.legend, bar.colour, "square") for bar in self.bars]
        marks += [Mark(level.name, level.colour, dash=level.dash) for level in self.levels]
        return list(dict.fromkeys(marks))


PERCENT = (-2.0, 102.0)
"""The range of an axis of accuracies, with room for points at its ends."""
LEVELS = {
    "oracle": ("oracle (the victim)", ORACLE, "dot"),
    "public_baseline": ("public baseline", PUBLIC, "dash"),
    "LP": ("LP, no attack", WRONG, "dashdot"),
}


def levels(rows: Iterable[Row], *fields: str) -> list[Level]:
    """A level for each of ``fields`` (of `LEVELS`), from the first row that has it."""
    pool = list(rows)
    out = []
    for field in fields:
        name, colour, dash = LEVELS[field]
        mean = next((mean for row in pool if (mean := row.mean(field)) is not None), None)
        if mean is not None:
            out.append(Level(mean, f"{name}: {number(mean)} %", colour, dash))
    return out


def arms(value: Value | None) -> tuple[float, float]:
    """Lengths of the interval below and above the mean; 0 without one."""
    if value is None or value.low is None or value.high is None:
        return 0.0, 0.0
    return value.mean - value.low, value.high - value.mean


def uncounted(rows: Iterable[Row]) -> str:
    """A sentence on the seeds and rows that are not drawn because they are invalid or failed; empty without any."""
    words: dict[str, None] = {}
    for row in rows:
        name = f"{lock_name(row)} × {row.attack}"
        if row.status in ("invalid", "failed"):
            words[f"{name} ({row.status}{f': {row.reason}' if row.reason else ''})"] = None
        for what in lost(row):
            words[f"{name} ({what})"] = None
    return f" Not drawn, since it does not count: {'; '.join(words)}." if words else ""


def sample_words(rows: Iterable[Row], intervals: bool = True) -> str:
    """Seeds, n and the kinds of interval of what is drawn; without the kinds if not ``intervals``."""
    pool = list(rows)
    seeds = seeds_words([seed for row in pool for seed in row.seeds])
    sizes = sorted({n for row in pool for n in row.n if n is not None})
    words = f"{seeds[0].upper()}{seeds[1:]}; n = {' or '.join(map(str, sizes)) or 'not recorded'} test images."
    kinds = dict.fromkeys(v.kind for row in pool for v in row.values.values() if v is not None and v.kind)
    if not intervals:
        return words
    return words + (f" Bars: 95 %, {' / '.join(kinds)}." if kinds else " No intervals.")
