"""The charts of the HTML page that stand on several rows: RP against what the attacker may spend, one line a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.page.charts import (
    DASHES,
    GLYPHS,
    GREEN,
    GREY,
    HOVER,
    PALETTE,
    PURPLE,
    Chart,
    Mark,
    Table,
    bars,
    colour,
    layout,
    safe,
    sample,
    symbol,
)
from reports.rows.budget_surface import WORDS, Surface, captions, surfaces
from reports.rows.row import Row
from reports.text.formatting import number, with_interval
from reports.text.groups import Group


def budgets(group: Group) -> list[Chart]:
    """A chart for each set of rows that differ in budgets alone, with the public baseline of the same data."""
    return [_chart(i, surface) for i, surface in enumerate(surfaces(group.rows))]


def _chart(index: int, surface: Surface) -> Chart:
    first, *others = surface.axes
    lines = surface.lines()
    data: list[dict[str, Any]] = []
    marks: list[Mark] = []
    drawn: list[list[float | None]] = []
    for i, (rest, line) in enumerate(lines.items()):
        beside = "".join(f", {WORDS[n]} {v:g}" for n, v in zip(others, rest, strict=True))
        dash = DASHES[i // len(PALETTE) % len(DASHES)]
        data.append(_line(line, "RP", f"RP{beside}", colour(i), symbol(i), dash, first))
        marks.append(Mark(f"RP{beside}", colour(i), glyph=GLYPHS[symbol(i)]))
        public = [row.mean("public_baseline") for _, row in line]
        if public not in drawn:  # lines that differ in steps alone share theirs
            name = f"public baseline, the same data{beside if drawn else ''}"
            dash = DASHES[1 + len(drawn) % (len(DASHES) - 1)]
            data.append(_line(line, "public_baseline", name, PURPLE, "square-open", dash, first))
            marks.append(Mark(name, PURPLE, dash=dash))
            drawn.append(public)
    rows = list(surface.points.values())
    shapes = []
    for field, words, shade, dash in (
        ("oracle", "oracle (the victim)", GREEN, "dot"),
        ("LP", "LP, no attack", GREY, "dash"),
    ):
        mean = rows[0].mean(field)
        if mean is not None:
            look = {"color": shade, "dash": dash, "width": 1.6}
            shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": mean, "y1": mean, "line": look})
            marks.append(Mark(f"{words}: {number(mean)} %", shade, dash=dash))
    made = layout(WORDS[first], "RP (%)", yaxis={"range": [-2, 102]}, shapes=shapes)
    values = sorted({at[0] for at in surface.points})
    made["xaxis"] |= {"tickvals": values, "ticktext": [f"{v:g}" for v in values]}
    if values[0] > 0 and values[-1] / values[0] >= 10:
        made["xaxis"] |= {"type": "log"}
    body = [
        (*(f"{v:g}" for v in at), with_interval(row.values["RP"]), with_interval(row.values["public_baseline"]),
         with_interval(row.values["advantage"]))
        for at, row in sorted(surface.points.items())
    ]  # fmt: skip
    header = (*(WORDS[n] for n in surface.axes), "RP", "public baseline", "advantage")
    caption = f"{captions([surface])[0]} {sample(rows)} Selection rule: {rows[0].selection or 'none'}."
    table = Table(header, body, words=0)
    return Chart(f"budget-{index}", f"{surface.lock} × {surface.attack}", caption, data, made, marks, table)


def _line(
    line: Sequence[tuple[float, Row]], field: str, name: str, shade: str, shape: str, dash: str, axis: str
) -> dict[str, Any]:
    points = [(x, value) for x, row in line if (value := row.values[field]) is not None]
    return {
        "type": "scatter", "mode": "lines+markers", "name": safe(name),
        "x": [x for x, _ in points], "y": [value.mean for _, value in points],
        "error_y": {**bars([value for _, value in points]), "color": shade},
        "line": {"color": shade, "width": 2, "dash": dash}, "marker": {"symbol": shape, "size": 8, "color": shade},
        "customdata": [safe(f"{name}: {with_interval(value)} at {WORDS[axis]} {x:g}") for x, value in points],
        "hovertemplate": HOVER,
    }  # fmt: skip
