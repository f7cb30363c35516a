"""Charts as plotly figures for the page, without colours of paper and ink: those are the reader's, light or dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from reports.page.chart_spec import Arms, Axis, Bar, Chart, Reference, Series
from reports.page.palette import GREY

HOVER = "%{customdata}<extra></extra>"


def figure(chart: Chart) -> dict[str, Any]:
    """What the page's script hands to plotly: ``data`` and ``layout``, of JSON types only."""
    bars = [_bars(chart.bars)] if chart.bars else []
    x, y = _axis(chart.x), _axis(chart.y)
    if chart.bars:
        y |= {"autorange": "reversed", "type": "category"}
    layout = {
        "height": chart.height,
        "margin": {"l": 58, "r": 18, "t": 14, "b": 52},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": x,
        "yaxis": y,
        "shapes": [_shape(line, upright=bool(chart.bars)) for line in chart.references],
    }
    return {"data": [*bars, *map(_trace, chart.series)], "layout": layout}


def _safe(text: str) -> str:
    """``text`` for plotly, which reads a few HTML tags in what it prints."""
    return html.escape(text, quote=False)


def _axis(axis: Axis) -> dict[str, Any]:
    out: dict[str, Any] = {
        "title": {"text": axis.title, "font": {"size": 13}}, "zeroline": False, "automargin": True,
    }  # fmt: skip
    if axis.range is not None:
        out["range"] = list(axis.range)
    if axis.log:
        out["type"] = "log"
    if axis.ticks:
        out |= {"tickvals": list(axis.ticks), "ticktext": [f"{v:g}" for v in axis.ticks]}
    elif axis.log:
        out["dtick"] = 1
    return out


def _shape(line: Reference, upright: bool) -> dict[str, Any]:
    along, across = ("y", "x") if upright else ("x", "y")
    return {
        "type": "line", f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1,
        f"{across}0": line.value, f"{across}1": line.value,
        "line": {"color": line.style.colour, "dash": line.style.dash, "width": 1.6},
    }  # fmt: skip


def _errors(arms: Sequence[Arms], colour: str) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": [above for _, above in arms],
        "arrayminus": [below for below, _ in arms], "thickness": 1.2, "width": 3, "color": colour,
    }  # fmt: skip


def _trace(series: Series) -> dict[str, Any]:
    style, points = series.style, series.points
    modes = ["lines"] * (series.join != "none") + ["markers"] * (style.symbol is not None)
    out: dict[str, Any] = {
        "type": "scatter", "mode": "+".join(modes), "name": _safe(series.name),
        "x": [p.x for p in points], "y": [p.y for p in points],
        "customdata": [_safe(p.words) for p in points], "hovertemplate": HOVER,
    }  # fmt: skip
    if not any(p.words for p in points):
        out |= {"hoverinfo": "skip", "hovertemplate": None}
    if series.join != "none":
        shape = "hv" if series.join == "steps" else "linear"
        width = 1 if series.faint else 2.4
        out["line"] = {"shape": shape, "color": style.colour, "dash": style.dash, "width": width}
    if series.faint:
        out["opacity"] = 0.35
    if style.symbol is not None:
        name = style.symbol.name + ("-open" if series.hollow else "")
        size = 12 if series.join == "none" else 8
        out["marker"] = {"color": style.colour, "symbol": name, "size": size, "line": {"width": 1.5}}
    for axis, arms in (("x", [p.x_arms for p in points]), ("y", [p.y_arms for p in points])):
        if any(arm != (0.0, 0.0) for arm in arms):
            out[f"error_{axis}"] = _errors(arms, style.colour)
    return out


def _bars(bars: Sequence[Bar]) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "y": [_safe(b.label) for b in bars], "x": [b.length for b in bars],
        "error_x": _errors([b.arms for b in bars], GREY), "marker": {"color": [b.style.colour for b in bars]},
        "customdata": [_safe(f"{b.label}: {b.what}: {b.number}") for b in bars], "hovertemplate": HOVER,
    }  # fmt: skip
