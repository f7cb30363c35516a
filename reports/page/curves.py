"""Charts of attacks: RP against what was spent, and against what may be spent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.plan.wording import with_key
from reports.page.chart_spec import (
    PERCENT,
    Axis,
    Chart,
    Point,
    Series,
    Table,
    arms,
    levels,
    sample_words,
    uncounted,
)
from reports.page.palette import COLOURS, DASHES, INK, NEUTRAL, PUBLIC, colour, dash, symbol
from reports.rows.aggregate import half_recovery, readings
from reports.rows.budget_surface import WORDS, Surface, captions, surfaces
from reports.rows.row import Row
from reports.text import findings
from reports.text.formatting import number, seeds_words, threat_words, with_interval
from reports.text.groups import Group, lock_name, title

METERS = {
    "guesses": "guesses spent (prompts tried)",
    "queries": "queries to the locked model (images)",
    "steps": "optimiser steps",
    "edited": "images edited",
    "forward_images": "images through the locked model",
}
"""Meters that a curve is drawn over; the first that moved counts."""
UNITS = {
    "guesses": ("guess", "guesses"), "queries": ("query", "queries"), "steps": ("step", "steps"),
    "edited": ("edited image", "edited images"), "forward_images": ("image", "images"),
}  # fmt: skip
"""One and several of each in a sentence."""
Curve = list[tuple[float, float]]
"""(meter reading, RP in percent), by reading."""


def recovery_curves(group: Group) -> list[Chart]:
    """RP against what was spent: one chart for each attack and threat model, a line for each lock."""
    shared: dict[tuple[str, str], list[Row]] = {}
    for row in group.rows:
        if row.curve and not row.attack_purpose:
            shared.setdefault((row.attack, group.threat(row)), []).append(row)
    charts: list[Chart] = []
    for (attack, letter), members in shared.items():
        meter = next((m for m in METERS if any(_moved(row, m) for row in members)), None)
        if meter is not None:
            rows = [row for row in members if _moved(row, meter)]
            charts.append(_recovery_curve(group, len(charts), f"{attack} ({letter})", meter, rows))
    return charts


def _recovery_curve(group: Group, index: int, name: str, meter: str, rows: Sequence[Row]) -> Chart:
    series: list[Series] = []
    spent: list[float] = []
    for i, row in enumerate(rows):
        curves = _curves(row, meter)
        spent += [x for curve in curves.values() for x, _ in curve]
        control = row.role == "control"
        lock = lock_name(row)
        shade = NEUTRAL if control else colour(i)
        if len(curves) > 1:
            series += [_steps(c, f"{lock}, seed {s}", shade, 1, opacity=0.35) for s, c in curves.items()]
        line = list(DASHES)[i % len(DASHES)] if control else dash(i)
        full = lock + (" (control)" if control else "")
        series.append(_steps(mean_curve(list(curves.values())), full, shade, 2.4, line, symbol(i)))
    caption = (
        f"Threat model {name.rpartition(' ')[2]} of the table. Each point is a predictor that the attack handed in at"
        " that reading, by its own selection rule, judged on test afterwards; points before the last may be judged on"
        f" fewer images. Heavy lines: mean over seeds. {sample_words(rows, intervals=False)}{uncounted(rows)}"
    )
    x, y = _meter_axis(meter, min(spent), max(spent)), Axis("RP (%)", PERCENT)
    found = findings.of_curve(rows, _spent(findings.furthest(rows), meter), name.rpartition(" ")[2])
    return Chart(
        f"curve-{index}",
        found or name,
        title(group),
        caption,
        x,
        y,
        series,
        levels=levels(rows, "public_baseline", "oracle"),
    )


def best_so_far(row: Row, meter: str) -> Chart | None:
    """Best RP so far against what was spent: a faint line a seed, and their mean; None without a curve.

    The mean's half-recovery point, what the attack handed back, LP, the oracle and the public baseline stand beside.
    """
    curves = best_curves(row, meter)
    if not curves:
        return None
    end = max(curve[-1][0] for curve in curves.values())
    seeds = [[*curve, (end, curve[-1][1])] for curve in curves.values()]
    several = len(seeds) > 1
    name = f"best RP so far, mean of {len(seeds)} seeds" if several else "best RP so far"
    mean = mean_curve(list(curves.values()))
    series = [_steps(curve, "one seed", COLOURS[0], 1, opacity=0.3, legend=i == 0) for i, curve in enumerate(seeds)]
    series = series if several else []
    series.append(_steps(mean, f"{name} (judged on test; the attacker does not see it)", COLOURS[0], 2.2))
    returned, lp, oracle = (row.mean(field) for field in ("RP", "LP", "oracle"))
    if returned is not None:
        words = f"handed back, RP {number(returned)} %"
        series.append(Series(words, [Point(end, returned, words)], COLOURS[1], "diamond"))
    if lp is not None and oracle is not None:
        half = half_recovery([{meter: x, "RP": rp} for x, rp in mean], lp, oracle, meter)
        series += _half_marks(half, (lp + oracle) / 2, meter)
    start = min(curve[0][0] for curve in curves.values())
    return Chart(
        "best", findings.of_curve([row], _spent(row, meter)) or f"{lock_name(row)} × {row.attack}",
        f"{row.scenario} · {row.model}; {seeds_words(tuple(curves))}; {threat_words(row.threat)}", "",
        _meter_axis(meter, start, end), Axis(f"{row.metric} on unauthorised test images (%)", PERCENT), series,
        levels=levels([row], "oracle", "public_baseline", "LP"),
    )  # fmt: skip


def budgets(group: Group) -> list[Chart]:
    """A chart for each set of rows that differ in budgets alone, with the public baseline of the same data."""
    return [budget_curve(surface, i) for i, surface in enumerate(surfaces(group.rows))]


def budget_curve(surface: Surface, index: int = 0) -> Chart:
    """RP against one budget, a line for each value of the others, beside the public baseline with the same data."""
    first, *others = surface.axes
    series: list[Series] = []
    publics: list[list[float | None]] = []
    for i, (rest, line) in enumerate(surface.lines().items()):
        beside = "".join(f", {WORDS[n]} {v:g}" for n, v in zip(others, rest, strict=True))
        series.append(_budget_line(line, "RP", f"RP{beside}", colour(i), symbol(i), dash(i), first))
        public = [row.mean("public_baseline") for _, row in line]
        if public not in publics:  # lines that differ in steps alone share theirs
            name = f"public baseline, the same data{beside if publics else ''}"
            pattern = list(DASHES)[1 + len(publics) % (len(DASHES) - 1)]
            series.append(_budget_line(line, "public_baseline", name, PUBLIC, "square", pattern, first))
            publics.append(public)
    rows = list(surface.points.values())
    values = sorted({at[0] for at in surface.points})
    body = [
        (*(f"{v:g}" for v in at), *(with_interval(row.values[n]) for n in ("RP", "public_baseline", "advantage")))
        for at, row in sorted(surface.points.items())
    ]
    name = f"{with_key(surface.lock, surface.key)} × {surface.attack}"
    under = f"; {surface.rights}" if surface.rights else ""
    line = next(iter(surface.lines().values()))
    return Chart(
        f"budget-{index}", findings.of_budget(line, WORDS[first], name) or name,
        f"{surface.scenario} · {surface.model}{under}; {sample_words(rows)}",
        f"{captions([surface])[0]} {sample_words(rows)} Selection rule: {rows[0].selection or 'none'}.",
        Axis(WORDS[first], log=values[0] > 0 and values[-1] / values[0] >= 10, ticks=values),
        Axis(f"{rows[0].metric} on unauthorised test images (%)", PERCENT), series,
        levels=levels(rows[:1], "oracle", "LP"),
        table=Table((*(WORDS[n] for n in surface.axes), "RP", "public baseline", "advantage"), body, words=0),
    )  # fmt: skip


def best_curves(row: Row, meter: str) -> dict[int, Curve]:
    """For each seed the readings with the best RP up to each; a curve over a meter that never moved is left out."""
    out = {}
    for seed, points in _curves(row, meter).items():
        if points[-1][0] > 0:
            best = np.maximum.accumulate([rp for _, rp in points]).tolist()
            out[seed] = list(zip((x for x, _ in points), best, strict=True))
    return out


def mean_curve(seeds: Sequence[Curve]) -> Curve:
    """Mean over seeds of what each had handed in last, from the reading at which all had."""
    start = max(points[0][0] for points in seeds)
    grid = sorted({x for points in seeds for x, _ in points if x >= start} | {start})
    return [(x, float(np.mean([[rp for at, rp in points if at <= x][-1] for points in seeds]))) for x in grid]


def _spent(row: Row | None, meter: str) -> str:
    """In words, what ``row`` had spent when its mean curve first reached its RP; empty where it never did."""
    if row is None or (rp := row.mean("RP")) is None or not (curves := _curves(row, meter)):
        return ""
    reached = [x for x, at in mean_curve(list(curves.values())) if at >= rp - 0.05]  # as printed, to one decimal
    if not reached or reached[0] == 0:  # it was there before anything was spent
        return ""
    one, many = UNITS.get(meter, (meter.replace("_", " "),) * 2)
    return f"{reached[0]:g} {one if reached[0] == 1 else many}"


def _curves(row: Row, meter: str) -> dict[int, Curve]:
    """For each seed that read the meter, every reading with its RP."""
    return {seed: points for seed, curve in (row.curve or {}).items() if (points := readings(curve, meter))}


def _moved(row: Row, meter: str) -> bool:
    """Whether a seed handed in at two readings of the meter at least."""
    return any(len({x for x, _ in points}) > 1 for points in _curves(row, meter).values())


def _meter_axis(meter: str, least: float, largest: float) -> Axis:
    # Fewer decades than that would have a tick at most.
    return Axis(METERS.get(meter, meter.replace("_", " ")), log=least > 0 and largest / least >= 20)


def _steps(
    curve: Curve, name: str, shade: str, width: float, line: str = "solid", mark: str = "", *, opacity: float = 1.0,
    legend: bool | None = None,
) -> Series:  # fmt: skip
    points = [Point(x, rp, f"{name}: RP {rp:.1f} at {x:g}") for x, rp in curve]
    named = opacity == 1.0 if legend is None else legend
    return Series(name, points, shade, mark, line, True, width, opacity, legend=named)


def _half_marks(half: float | None, level: float, meter: str) -> list[Series]:
    """A ring where half of the lost performance is back, and a line down to the axis; words alone where it never is."""
    if half is None:
        return [Series("half of the lost performance: never back", [], INK)]
    spent = f"guess {half:g}" if meter == "guesses" else f"{half:g} {meter.replace('_', ' ')}"
    words = f"half of the lost performance back: at {spent}"
    return [
        Series("half", [Point(half, 0.0), Point(half, level)], INK, dash="dot", width=1, legend=False),
        Series(words, [Point(half, level, words)], INK, "circle", hollow=True),
    ]


def _budget_line(
    line: Sequence[tuple[float, Row]], field: str, name: str, shade: str, mark: str, pattern: str, axis: str
) -> Series:
    points = [
        Point(x, value.mean, f"{name}: {with_interval(value)} at {WORDS[axis]} {x:g}", y_arms=arms(value))
        for x, row in line
        if (value := row.values[field]) is not None
    ]
    return Series(name, points, shade, mark, pattern, hollow=field != "RP")
