"""Charts as PNG files. matplotlib is imported when the first is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports import files
from reports.page.chart_spec import Arms, Bar, Chart, Series
from reports.page.palette import DASHES, INK, LINE
from reports.text.formatting import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

WIDTH = 7.6
"""Inches."""
BAR = 0.34
"""Inches from one bar to the next."""
LABEL = 46
"""Characters that a bar's label and what it is of may take together, or a name of a legend of two columns."""


def write(charts: Sequence[Chart], path: str | Path) -> Path:
    """Draw ``charts`` below each other, and write the PNG file ``path``.

    Raises:
        UserError: the place cannot be written.
    """
    heights = [_inches(chart) for chart in charts]
    figure = new_figure(WIDTH, sum(heights))
    axes = figure.subplots(len(charts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, chart in zip(axes, charts, strict=True):
        _draw(axis, chart, figure.dpi_scale_trans)
    return save(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches. Without pyplot no state is kept, and no display is needed."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: Figure, path: str | Path) -> Path:
    """Write ``figure`` to ``path`` at once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return files.atomic(path, lambda file: figure.savefig(file, format="png", dpi=150))


def _inches(chart: Chart) -> float:
    lines = -(-len(chart.legend) // _legend_columns(chart))
    return (BAR * len(chart.bars) if chart.bars else 3.6) + 1.0 + 0.18 * lines


def _legend_columns(chart: Chart) -> int:
    return 2 if max((len(name) for name, _ in chart.legend), default=0) <= LABEL else 1


def _draw(axis: Axes, chart: Chart, inches: Transform) -> None:
    if chart.bars:
        _bars(axis, chart.bars)
    for i, series in enumerate(chart.series):
        _series(axis, series, order=2 + i / 100)
    for line in chart.references:
        across = axis.axvline if chart.bars else axis.axhline
        across(line.value, color=line.style.colour, linestyle=DASHES[line.style.dash], linewidth=1.4, label=line.name)
    if chart.x.log:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:,g}")
    if chart.x.ticks:
        axis.set_xticks(list(chart.x.ticks), [f"{v:g}" for v in chart.x.ticks])
        axis.minorticks_off()
    if chart.x.range is not None:
        axis.set_xlim(*chart.x.range)
    if chart.y.range is not None:
        axis.set_ylim(*chart.y.range)
    axis.set_xlabel(chart.x.title, fontsize=9)
    axis.set_ylabel(chart.y.title, fontsize=9)
    axis.tick_params(labelsize=8.5)
    width = 76 if chart.bars else 100
    axis.set_title("\n".join(textwrap.fill(line, width) for line in chart.heading.split("\n")), fontsize=9, loc="left")
    if not chart.bars:
        axis.grid(color=LINE, linewidth=0.8)
        axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_legend_handles_labels()[0]:
        _legend(axis, _legend_columns(chart), inches)


def _legend(axis: Axes, columns: int, inches: Transform) -> None:
    """Under the axis, at a distance that does not grow with the chart."""
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(0, -0.42, inches)
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=axis.transAxes + below, ncols=columns, fontsize=8,
        frameon=False,
    )  # fmt: skip


def _series(axis: Axes, series: Series, order: float) -> None:
    style = series.style
    symbol, open_symbol = style.symbol, "white" if series.hollow else style.colour
    axis.errorbar(
        [p.x for p in series.points],
        [p.y for p in series.points],
        xerr=_errors([p.x_arms for p in series.points]),
        yerr=_errors([p.y_arms for p in series.points]),
        color=style.colour,
        linestyle="none" if series.join == "none" else DASHES[style.dash],
        drawstyle="steps-post" if series.join == "steps" else "default",
        linewidth=1 if series.faint else 2,
        alpha=0.35 if series.faint else None,
        marker="none" if symbol is None else symbol.marker,
        markersize=8 if series.join == "none" else 5.5,
        markerfacecolor=open_symbol,
        elinewidth=1.1,
        capsize=3,
        label="_" if series.faint else series.name,
        zorder=order,
    )


def _bars(axis: Axes, bars: Sequence[Bar]) -> None:
    places = range(len(bars))
    lengths = [bar.length for bar in bars]
    axis.barh(places, lengths, color=[bar.style.colour for bar in bars], height=0.66, alpha=0.85)
    # An accuracy near 0 has an arm that would leave the axis; percent ends at 0 and 100.
    arms = [(min(bar.arms[0], bar.length), min(bar.arms[1], 100.0 - bar.length)) for bar in bars]
    axis.errorbar(lengths, places, xerr=_errors(arms), fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5)
    for i, bar in enumerate(bars):
        axis.text(103, i, number(bar.length), va="center", fontsize=8)
    named = [bar.label + (f"  ({bar.what})" if 0 < len(bar.what) <= LABEL - len(bar.label) else "") for bar in bars]
    axis.set_yticks(places, named)
    axis.invert_yaxis()


def _errors(arms: Sequence[Arms]) -> list[list[float]] | None:
    """For matplotlib; None where no point has an interval, so that no caps are drawn."""
    if all(arm == (0.0, 0.0) for arm in arms):
        return None
    return [[below for below, _ in arms], [above for _, above in arms]]
