"""What a chart is, before it is drawn: `draw_plotly` draws it for the page, `draw_png` for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from reports.page.palette import Style
from reports.rows.intervals import Value

Arms = tuple[float, float]
"""Lengths of an interval below and above a mean; 0 without one."""


@dataclass(frozen=True)
class Point:
    """A point with its intervals; ``words`` is what the page shows of it under the pointer."""

    x: float
    y: float
    words: str = ""
    x_arms: Arms = (0.0, 0.0)
    y_arms: Arms = (0.0, 0.0)


@dataclass(frozen=True)
class Series:
    """Points of one look.

    Args:
        name: in the legend.
        join: how a line joins the points, if one does; ``steps`` is level until the next point.
        faint: thin and pale, and not in the legend.
        hollow: with open symbols.
    """

    name: str
    points: Sequence[Point]
    style: Style
    join: Literal["none", "straight", "steps"] = "none"
    faint: bool = False
    hollow: bool = False


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: ``label`` stands before it, ``what`` says what it is of, ``number`` is its length in words."""

    label: str
    what: str
    number: str
    length: float
    arms: Arms
    style: Style


@dataclass(frozen=True)
class Reference:
    """A line across the chart at ``value``, percent: across the bars where there are bars, else level."""

    name: str
    value: float
    style: Style


@dataclass(frozen=True)
class Axis:
    """An axis: its title, its range (None: that of the points), and ticks where they are not the usual ones."""

    title: str
    range: tuple[float, float] | None = None
    log: bool = False
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class ChartTable:
    """The numbers of a chart as text: columns up to ``words`` hold words, the others numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Chart:
    """A chart with the words around it, and its numbers as a table where they are in no other.

    Args:
        id: unique on its page.
        heading: of a file, where no page says what the chart is of.
        height: pixels on the page.
        key: of the bars' looks, for the legend.
    """

    id: str
    title: str
    heading: str
    caption: str
    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    bars: Sequence[Bar] = ()
    references: Sequence[Reference] = ()
    key: Sequence[tuple[str, Style]] = field(default_factory=tuple)
    height: int = 420
    table: ChartTable | None = None

    @property
    def legend(self) -> list[tuple[str, Style]]:
        """Names and looks, in the order of the chart."""
        series = [(s.name, s.style) for s in self.series if not s.faint]
        return [*self.key, *series, *((r.name, r.style) for r in self.references)]


def arms(value: Value | None) -> Arms:
    """Lengths of the interval of ``value`` below and above its mean; 0 without one."""
    if value is None or value.low is None or value.high is None:
        return 0.0, 0.0
    return value.mean - value.low, value.high - value.mean
