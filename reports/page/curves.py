"""Charts of RP: against what an attack spent on its way, and against what it may spend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.page.chart_spec import Axis, Chart, ChartTable, Point, Reference, Series, arms
from reports.page.charts import references, sample
from reports.page.palette import DASHES, INK, LOCKED, ORACLE, PUBLIC, RETURNED, SYMBOLS, Style, style
from reports.rows.aggregate import half_recovery, readings
from reports.rows.budget_surface import WORDS, Surface, captions, surfaces
from reports.rows.row import Row
from reports.text.formatting import number, seeds_words, threat_words, with_interval
from reports.text.groups import Group

METERS = {
    "guesses": "guesses spent (prompts tried)",
    "queries": "queries to the locked model (images)",
    "steps": "optimiser steps",
    "edited": "images edited",
    "forward_images": "images through the locked model",
}
"""Meters that a curve is drawn over; the first that moved counts."""
PERCENT = (-2.0, 102.0)
DECADES = 20.0
"""Largest over least reading from which an axis of readings is logarithmic; with fewer it would have one tick."""
Readings = Sequence[tuple[float, float]]
"""(meter reading, RP in percent) of each submission, by reading."""


def curves(group: Group) -> list[Chart]:
    """RP against what was spent: one chart for each attack and threat model, a line for each lock."""
    shared: dict[tuple[str, str], list[Row]] = {}
    for row in group.rows:
        if row.curve and not row.attack_purpose:
            shared.setdefault((row.attack, group.threat(row)), []).append(row)
    charts: list[Chart] = []
    for (attack, letter), members in shared.items():
        meter = next((m for m in METERS if any(moved(row, m) for row in members)), None)
        if meter is not None:
            rows = [row for row in members if moved(row, meter)]
            threat = f"Threat model ({letter}) of the table."
            charts.append(curve(rows, meter, f"{attack} ({letter})", threat, f"curve-{len(charts)}"))
    return charts


def moved(row: Row, meter: str) -> bool:
    """Whether a seed submitted at two readings of the meter at least."""
    return any(len({x for x, _ in readings(points, meter)}) > 1 for points in (row.curve or {}).values())


def spent(row: Row, meter: str) -> bool:
    """Whether a seed submitted after it had moved the meter."""
    return any(x > 0 for points in (row.curve or {}).values() for x, _ in readings(points, meter))


def curve(rows: Sequence[Row], meter: str, title: str, threat: str, identifier: str) -> Chart:
    """RP of what an attack had submitted last against what it had spent, a line for each row.

    Args:
        rows: of one attack and threat model, each with a curve over ``meter``.
        meter: a field of the meter.
        title: of the chart.
        threat: the threat model in a sentence.
        identifier: of the chart on its page.
    """
    series: list[Series] = []
    means: list[Readings] = []
    for i, row in enumerate(rows):
        control = row.role == "control"
        name = f"{row.lock}, key {row.key}" if row.key not in ("edit", "domain") else row.lock
        look = style(i, control)
        seeds = {s: points for s, c in (row.curve or {}).items() if (points := readings(c, meter))}
        if len(seeds) > 1:
            faint = Style(look.colour, dash="solid")
            series += [_steps(f"{name}, seed {s}", points, faint, faint=True) for s, points in seeds.items()]
        means.append(_mean(list(seeds.values())))
        series.append(_steps(name + (" (control)" if control else ""), means[-1], look))
    xs = [point.x for s in series for point in s.points]
    first = {
        name: next((row for row in rows if row.values[name] is not None), rows[0])
        for name in ("public_baseline", "oracle")
    }
    lines = references(first["public_baseline"], [("public_baseline", "public baseline", PUBLIC)])
    lines += references(first["oracle"], [("oracle", "oracle (the victim)", ORACLE)])
    if len(rows) == 1:
        lines += references(rows[0], [("LP", "LP, no attack", LOCKED)])
        series += _marks(rows[0], means[0], meter)
    caption = (
        f"{threat} Each point is a predictor that the attack handed in at that reading, by"
        " its own selection rule, judged on test afterwards; points before the last may be judged on fewer images."
        f" Heavy lines: mean over seeds. {sample(rows, intervals=False)}"
    )
    heading = f"{title}, {rows[0].scenario}, {rows[0].model}, {seeds_words(rows[0].seeds)}\n{threat}"
    log = min(xs) > 0 and max(xs) / min(xs) >= DECADES
    x_axis = Axis(METERS.get(meter, meter.replace("_", " ")), log=log)
    return Chart(identifier, title, heading, caption, x_axis, Axis("RP (%)", PERCENT), series, references=lines)


def of_row(row: Row, meter: str) -> Chart:
    """The curve of one row, with all words that it needs without a table beside it."""
    return curve([row], meter, f"{row.lock} × {row.attack}", f"{threat_words(row.threat)}.", "curve")


def _steps(name: str, points: Readings, look: Style, faint: bool = False) -> Series:
    steps = [Point(x, rp, f"{name}: RP {rp:.1f} at {x:g}") for x, rp in points]
    return Series(name, steps, look, "steps", faint=faint)


def _mean(seeds: Sequence[Readings]) -> Readings:
    """Mean over seeds of what each had submitted last, from the reading at which all had."""
    start = max(points[0][0] for points in seeds)
    grid = sorted({x for points in seeds for x, _ in points if x >= start} | {start})
    return [(x, float(np.mean([[rp for at, rp in points if at <= x][-1] for points in seeds]))) for x in grid]


def _marks(row: Row, mean: Readings, meter: str) -> list[Series]:
    """What was handed back at last, and where half of the lost performance was back."""
    marks = []
    returned, lp, oracle = (row.mean(name) for name in ("RP", "LP", "oracle"))
    if returned is not None:
        name = f"handed back, RP {number(returned)} %"
        marks.append(Series(name, [Point(mean[-1][0], returned, name)], RETURNED))
    if lp is None or oracle is None:
        return marks
    half = half_recovery([{meter: x, "RP": rp} for x, rp in mean], lp, oracle, meter)
    unit = meter.replace("_", " ")
    at = "never" if half is None else f"at guess {half:g}" if meter == "guesses" else f"at {half:g} {unit}"
    name = f"half of the lost performance back: {at}"
    points = [] if half is None else [Point(half, (lp + oracle) / 2, name)]
    return [*marks, Series(name, points, Style(INK, SYMBOLS[0]), hollow=True)]


def budgets(group: Group) -> list[Chart]:
    """A chart for each set of rows that differ in budgets alone."""
    return [budget(surface, f"budget-{i}") for i, surface in enumerate(surfaces(group.rows))]


def budget(surface: Surface, identifier: str = "budget") -> Chart:
    """RP against a budget, a line for each value of the others, with the public baseline of the same data."""
    first, *others = surface.axes
    rows = list(surface.points.values())
    series: list[Series] = []
    public: list[list[float | None]] = []
    for i, (rest, line) in enumerate(surface.lines().items()):
        beside = "".join(f", {WORDS[n]} {v:g}" for n, v in zip(others, rest, strict=True))
        series.append(_line(line, "RP", f"RP{beside}", style(i), WORDS[first]))
        means = [row.mean("public_baseline") for _, row in line]
        if means not in public:  # lines that differ in steps alone share theirs
            dashes = list(DASHES)[1:]
            look = Style(PUBLIC.colour, SYMBOLS[1], dashes[len(public) % len(dashes)])
            name = f"public baseline, the same data{beside if public else ''}"
            series.append(_line(line, "public_baseline", name, look, WORDS[first], hollow=True))
            public.append(means)
    lines: list[Reference] = references(
        rows[0], [("oracle", "oracle (the victim)", ORACLE), ("LP", "LP, no attack", LOCKED)]
    )
    values = sorted({at[0] for at in surface.points})
    body = [
        (*(f"{v:g}" for v in at), *(with_interval(row.values[n]) for n in ("RP", "public_baseline", "advantage")))
        for at, row in sorted(surface.points.items())
    ]
    headings = (*(WORDS[n] for n in surface.axes), "RP", "public baseline", "advantage")
    facts = sample(rows)
    caption = f"{captions([surface])[0]} {facts} Selection rule: {rows[0].selection or 'none'}."
    x_axis = Axis(WORDS[first], log=values[0] > 0 and values[-1] / values[0] >= 10, ticks=values)
    return Chart(
        identifier, f"{surface.lock} × {surface.attack}", f"{surface.title}\n{facts}", caption,
        x_axis, Axis("RP (%)", PERCENT), series, references=lines, table=ChartTable(headings, body, words=0),
    )  # fmt: skip


def _line(
    line: Sequence[tuple[float, Row]], field: str, name: str, look: Style, axis: str, hollow: bool = False
) -> Series:
    known = [(x, value) for x, row in line if (value := row.values[field]) is not None]
    points = [
        Point(x, value.mean, f"{name}: {with_interval(value)} at {axis} {x:g}", y_arms=arms(value))
        for x, value in known
    ]
    return Series(name, points, look, "straight", hollow=hollow)
