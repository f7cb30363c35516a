"""Charts as a PNG file, one panel under the other. matplotlib is imported when the first is drawn."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.legible import shortened
from reports import files
from reports.page.chart_spec import Bar, Chart, Series, arms
from reports.page.palette import DASHES, INK, NEUTRAL, SYMBOLS
from reports.text.escaping import picture
from reports.text.formatting import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.2
"""Of a file, inches."""
_PIXELS = 92.0
"""Of a chart's height in one inch."""
_BAR, _LEGEND_LINE, _AROUND = 0.32, 0.22, 1.3
"""Inches of a bar, of a line of the legend, and of what stands above a panel and below its axis."""


def draw(charts: Sequence[Chart], path: str | Path) -> Path:
    """Draw ``charts`` into the PNG ``path``, which is replaced at once.

    Returns:
        ``path``.

    Raises:
        UserError: the place cannot be written.
    """
    heights = [_inches(chart) for chart in charts]
    canvas = figure(WIDTH, sum(heights))
    axes = canvas.subplots(len(charts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, chart in zip(axes, charts, strict=True):
        _panel(canvas, axis, chart)
    return save(canvas, path)


def figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, that needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(canvas: Figure, path: str | Path) -> Path:
    """Write ``canvas`` to the PNG ``path``, which is replaced at once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(canvas)
    with warnings.catch_warnings():  # a name in letters that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # labels without end
        return files.atomic(path, lambda file: canvas.savefig(file, format="png", dpi=150))


def _inches(chart: Chart) -> float:
    """The height of a panel with its title, axis and legend."""
    inside = _BAR * (len(chart.bars) + 0.5) if chart.bars else chart.height / _PIXELS
    return inside + _LEGEND_LINE * ((len(chart.marks) + 1) // 2) + _AROUND


def _panel(canvas: Figure, axis: Axes, chart: Chart) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    for series in chart.series:
        _series(axis, series)
    if chart.bars:
        _bars(axis, chart.bars)
    for level in chart.levels:
        line = axis.axhline if level.axis == "y" else axis.axvline
        line(level.value, color=level.colour, linestyle=DASHES[level.dash].matplotlib, linewidth=1.4)
    for name, spec in (("x", chart.x), ("y", chart.y)):
        if spec.log:
            axis.set(**{f"{name}scale": "log"})
        if spec.ticks:
            axis.set(**{f"{name}ticks": spec.ticks, f"{name}ticklabels": [f"{tick:g}" for tick in spec.ticks]})
            axis.minorticks_off()
        if spec.range is not None:
            axis.set(**{f"{name}lim": spec.range})
        axis.set(**{f"{name}label": picture(spec.title)})
    axis.grid(alpha=0.25, axis="x" if chart.bars else "both")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    # Two texts of two sizes: the title stands above the lines of the place.
    place = picture(textwrap.fill(shortened(chart.place, 240), 120))
    axis.set_title(
        picture(textwrap.fill(shortened(chart.title, 150), 80)),
        fontsize=10,
        loc="left",
        pad=8 + 10 * (place.count("\n") + 1),
    )
    axis.text(0, 1.0, place + "\n", transform=axis.transAxes, va="bottom", fontsize=7, color=NEUTRAL, linespacing=1.1)
    handles = [
        Line2D(
            [], [], color=mark.colour, linestyle=DASHES[mark.dash].matplotlib if mark.dash else "none",
            marker=SYMBOLS[mark.symbol].matplotlib if mark.symbol else "none", markersize=6,
            markerfacecolor="none" if mark.hollow else mark.colour, alpha=mark.opacity,
        )
        for mark in chart.marks
    ]  # fmt: skip
    names = [picture(textwrap.fill(shortened(mark.name, 110), 55)) for mark in chart.marks]
    # Under the axis, at a distance that does not grow with the panel.
    below = axis.transAxes + ScaledTranslation(0, -0.5, canvas.dpi_scale_trans)
    axis.legend(
        handles, names, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, ncols=2, fontsize=8,
        frameon=False,
    )  # fmt: skip


def _series(axis: Axes, series: Series) -> None:
    x, y = ([getattr(point, name) for point in series.points] for name in ("x", "y"))
    x_arms, y_arms = (_lengths([getattr(point, f"{name}_arms") for point in series.points]) for name in ("x", "y"))
    axis.errorbar(
        x, y, xerr=x_arms, yerr=y_arms,
        linestyle=DASHES[series.dash].matplotlib if series.dash else "none",
        marker=SYMBOLS[series.symbol].matplotlib if series.symbol else "none", markersize=5 if series.dash else 8,
        markerfacecolor="none" if series.hollow else series.colour, color=series.colour, linewidth=series.width,
        drawstyle="steps-post" if series.stepped else "default", alpha=series.opacity, elinewidth=1.1, capsize=2.5,
    )  # fmt: skip


def _bars(axis: Axes, bars: Sequence[Bar]) -> None:
    y, means = np.arange(len(bars)), [bar.value.mean for bar in bars]
    axis.barh(y, means, color=[bar.colour for bar in bars], height=0.66, alpha=0.85)
    axis.errorbar(
        means, y, xerr=_lengths([arms(bar.value) for bar in bars]), fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5
    )
    for i, mean in enumerate(means):
        axis.text(1.01, i, number(mean), va="center", fontsize=8, transform=axis.get_yaxis_transform())
    axis.set_yticks(y, [picture(_label(bar)) for bar in bars], fontsize=8)
    axis.invert_yaxis()


def _lengths(arms: Sequence[tuple[float, float]]) -> NDArray[np.float64] | None:
    """(2, n) lengths of error bars, below and above; None where none has any."""
    lengths = np.array(arms).T.clip(0)
    return lengths if lengths.any() else None


def _label(bar: Bar) -> str:
    """The name, and what was applied where it is short."""
    what = bar.what if bar.what != bar.name and len(bar.name + bar.what) <= 46 else ""
    return shortened(f"{bar.name}  ({what})" if what else bar.name, 60)
