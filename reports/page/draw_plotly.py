"""A chart as a plotly figure, for the page.

Data and layout are without the colours of paper and ink: those are the reader's (light or dark), and the page's script
sets them.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from bench.legible import visible
from reports.page.chart_spec import Axis, Bar, Chart, Level, Series, arms
from reports.page.palette import NEUTRAL
from reports.text.formatting import with_interval

_HOVER = "%{customdata}<extra></extra>"


def figure(chart: Chart) -> dict[str, Any]:
    """The plotly figure of ``chart``: ``data`` and ``layout``, plain JSON."""
    layout: dict[str, Any] = {
        "height": chart.height,
        "margin": {"l": 58, "r": 18, "t": 14, "b": 52},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y),
        "shapes": [_shape(level) for level in chart.levels],
    }
    data = [_trace(series) for series in chart.series]
    if chart.bars:
        data.append(_bars(chart.bars))
        layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict[str, Any]:
    out: dict[str, Any] = {
        "title": {"text": _safe(axis.title), "font": {"size": 13}},
        "zeroline": False,
        "automargin": True,
    }
    if axis.range is not None:
        out["range"] = list(axis.range)
    if axis.log:
        out["type"] = "log"
    if axis.ticks:
        out |= {"tickvals": list(axis.ticks), "ticktext": [f"{tick:g}" for tick in axis.ticks]}
    elif axis.log:
        out["dtick"] = 1
    return out


def _trace(series: Series) -> dict[str, Any]:
    mode = "+".join(part for part, style in (("lines", series.dash), ("markers", series.symbol)) if style)
    out: dict[str, Any] = {
        "type": "scatter", "mode": mode, "name": _safe(series.name), "opacity": series.opacity,
        "x": [p.x for p in series.points], "y": [p.y for p in series.points],
        "customdata": [_safe(p.words) for p in series.points], "hovertemplate": _HOVER,
    }  # fmt: skip
    if series.dash:
        shape = "hv" if series.stepped else "linear"
        out["line"] = {"shape": shape, "color": series.colour, "width": series.width, "dash": series.dash}
    if series.symbol:
        symbol = series.symbol + ("-open" if series.hollow else "")
        size = 8 if series.dash else 12
        out["marker"] = {"color": series.colour, "symbol": symbol, "size": size, "line": {"width": 1.5}}
    for name in ("x", "y"):
        lengths = [getattr(point, f"{name}_arms") for point in series.points]
        if any(map(any, lengths)):
            out[f"error_{name}"] = {**_errors(lengths), "color": series.colour}
    if not any(point.words for point in series.points):
        out["hoverinfo"] = "skip"
        del out["hovertemplate"]
    return out


def _bars(bars: Sequence[Bar]) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h",
        "y": [_safe(bar.name) for bar in bars], "x": [bar.value.mean for bar in bars],
        "error_x": {**_errors([arms(bar.value) for bar in bars]), "color": NEUTRAL},
        "marker": {"color": [bar.colour for bar in bars]},
        "customdata": [_safe(f"{bar.what}: {with_interval(bar.value)}") for bar in bars],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }  # fmt: skip


def _errors(lengths: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": [above for _, above in lengths],
        "arrayminus": [below for below, _ in lengths], "thickness": 1.2, "width": 3,
    }  # fmt: skip


def _shape(level: Level) -> dict[str, Any]:
    other = "y" if level.axis == "x" else "x"
    return {
        "type": "line", f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1,
        f"{level.axis}0": level.value, f"{level.axis}1": level.value,
        "line": {"color": level.colour, "dash": level.dash, "width": 1.6},
    }  # fmt: skip


def _safe(text: str) -> str:
    """``text`` for plotly, which reads a few HTML tags in what it prints."""
    return html.escape(visible(text), quote=False)
