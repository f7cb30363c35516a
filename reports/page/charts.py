"""Charts of the HTML page as plain plotly figures: data and layout, without colours of paper and ink.

Those are the reader's (light or dark) and are set by the page's script. Every colour here has enough contrast on
both, and no trace is told apart by colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reports.rows import domain
from reports.rows.aggregate import readings
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.worst import candidates
from reports.text.formatting import number, seeds_words, with_interval
from reports.text.groups import COST, Group, costly

PALETTE = ("#3d7edb", "#cf6a17", "#2c9a5d", "#9a63d6", "#d6493f", "#1795a3", "#d1569b", "#a5774a")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
GLYPHS = dict(zip(SYMBOLS, "●■◆▲▼✚✖★", strict=True))
DASHES = ("solid", "dash", "dot", "dashdot")
HOVER = "%{customdata}<extra></extra>"
GREY, GREEN, PURPLE = "#80868f", "#2c9a5d", "#9a63d6"
METERS = {
    "guesses": "guesses spent (prompts tried)",
    "queries": "queries to the locked model (images)",
    "steps": "optimiser steps",
    "edited": "images edited",
    "forward_images": "images through the locked model",
}
"""Meters that a curve is drawn over; the first that moved counts."""


@dataclass(frozen=True)
class Mark:
    """One line of a legend: a glyph for points, or a line with its dash."""

    name: str
    colour: str
    glyph: str = ""
    dash: str = ""


@dataclass(frozen=True)
class Table:
    """The numbers of a chart as text: columns up to ``words`` hold words, the others numbers."""

    header: tuple[str, ...]
    body: Sequence[tuple[str, ...]]
    words: int = 1


@dataclass(frozen=True)
class Chart:
    """A plotly figure with the words around it, and its numbers as a table where they are no table elsewhere."""

    id: str
    title: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    marks: list[Mark] = field(default_factory=list)
    table: Table | None = None

    @property
    def figure(self) -> dict[str, Any]:
        """What the page's script hands to plotly."""
        return {"data": self.data, "layout": self.layout}


def colour(i: int) -> str:
    """The ``i``-th colour; after eight they come again with another symbol and dash."""
    return PALETTE[i % len(PALETTE)]


def symbol(i: int) -> str:
    """The ``i``-th symbol, shifted each time that the colours come again."""
    return SYMBOLS[(i + i // len(SYMBOLS)) % len(SYMBOLS)]


def safe(text: str) -> str:
    """``text`` for plotly, which reads a few HTML tags in what it prints."""
    return html.escape(text, quote=False)


def layout(x: str, y: str, height: int = 420, **more: Any) -> dict[str, Any]:
    """What every chart has: margins and the titles of its axes; ``more`` is laid over it."""
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 58, "r": 18, "t": 14, "b": 52},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": x, "font": {"size": 13}}, "zeroline": False, "automargin": True},
        "yaxis": {"title": {"text": y, "font": {"size": 13}}, "zeroline": False, "automargin": True},
    }
    for name, value in more.items():
        base[name] = {**base.get(name, {}), **value} if isinstance(value, dict) else value
    return base


def _arms(value: Value | None) -> tuple[float, float]:
    """Lengths of the interval below and above the mean; 0 without one."""
    if value is None or value.low is None or value.high is None:
        return 0.0, 0.0
    return value.mean - value.low, value.high - value.mean


def bars(values: Sequence[Value | None]) -> dict[str, Any]:
    """The intervals of ``values`` as bars of error."""
    arms = [_arms(v) for v in values]
    return {
        "type": "data", "symmetric": False, "array": [a[1] for a in arms], "arrayminus": [a[0] for a in arms],
        "thickness": 1.2, "width": 3,
    }  # fmt: skip


@dataclass(frozen=True)
class Worst:
    """A lock's worst case: the row of its strongest attack, and what that was chosen by."""

    row: Row
    by: str


def worst_cases(rows: Iterable[Row], validation: Mapping[str, float | None]) -> list[Worst]:
    """For each lock and key, the row that opens it furthest.

    Args:
        rows: of one scenario and model; those without RP (failed, or lacking a control) are left out.
        validation: by row key, the mean RP on judge-validation images. Where every row of a lock has one, the
            worst is chosen by it: the best of many on test images is too high by luck.
    """
    by_lock: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.values["RP"] is not None and row.status == "ok" and not row.attack_purpose:
            by_lock.setdefault((row.lock, row.key), []).append(row)
    found = []
    for pool in by_lock.values():
        members = candidates(pool)
        scores = [validation.get(row.row_key) for row in members]
        known = [s for s in scores if s is not None]
        blind = len(known) == len(members)
        used = known if blind else [row.mean("RP") or 0.0 for row in members]
        best = members[int(np.argmax(used))]
        found.append(Worst(best, "judge-validation images" if blind else "test images"))
    return found


def trade_off(group: Group, validation: Mapping[str, float | None]) -> Chart | None:
    """UP against worst-case RP, a point for each lock, with the Pareto front; None where no lock has both."""
    found = [w for w in worst_cases(group.rows, validation) if w.row.values["UP"] is not None]
    methods = [w for w in found if w.row.role != "control"]
    if not methods:
        return None
    keys: dict[str, set[str]] = {}
    for w in found:
        keys.setdefault(w.row.lock, set()).add(w.row.key)
    data: list[dict[str, Any]] = []
    marks: list[Mark] = []
    front = _front([(w.row.mean("RP") or 0.0, w.row.mean("UP") or 0.0) for w in methods])
    if len(front) > 1:
        data.append(
            {
                "type": "scatter", "mode": "lines", "x": [x for x, _ in front], "y": [y for _, y in front],
                "line": {"shape": "hv", "color": GREY, "dash": "dot", "width": 1.5}, "hoverinfo": "skip",
                "name": "Pareto front",
            }
        )  # fmt: skip
        marks.append(Mark("Pareto front", GREY, dash="dot"))
    for i, w in enumerate(found):
        row, control = w.row, w.row.role == "control"
        name = row.lock + (f", key {row.key}" if len(keys[row.lock]) > 1 else "")
        name += " (control)" if control else " (UP too low, unranked)" if costly(row) else ""
        shade = GREY if control else colour(i)
        shape = symbol(i) + ("-open" if costly(row) else "")
        x, y = row.values["RP"], row.values["UP"]
        words = f"{name}: UP {with_interval(y)}, RP {with_interval(x)} by {row.attack} ({group.threat(row)})"
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": [row.mean("RP")], "y": [row.mean("UP")], "name": safe(name),
                "marker": {"color": shade, "symbol": shape, "size": 12, "line": {"width": 1.5}},
                "error_x": {**bars([x]), "color": shade}, "error_y": {**bars([y]), "color": shade},
                "hovertemplate": HOVER, "customdata": [safe(words)],
            }
        )  # fmt: skip
        marks.append(Mark(name, shade, glyph=GLYPHS[symbol(i)]))
    chosen = " or ".join(dict.fromkeys(w.by for w in found))
    caption = (
        f"Top left is best: useful with the key, useless without. RP of each lock's strongest attack, chosen on"
        f" {chosen}, over all threat models of the table. {sample(w.row for w in found)} Open symbols: UP more"
        f" than {COST:g} points under the victim. Points below and right of the dotted line are beaten on both counts."
    )
    look = layout("worst-case RP (%), lower is better", "UP (%), higher is better", 440)
    look["xaxis"]["range"] = look["yaxis"]["range"] = [-3, 103]
    body = [
        (
            w.row.lock, w.row.key, f"{w.row.attack} ({group.threat(w.row)})", with_interval(w.row.values["UP"]),
            with_interval(w.row.values["RP"]), with_interval(w.row.values["advantage"]),
        )
        for w in found
    ]  # fmt: skip
    table = Table(("lock", "key", "strongest attack", "UP", "RP", "advantage"), body, words=3)
    return Chart("trade-off", "UP against worst-case RP", caption, data, look, marks, table)


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats with less RP and more UP, by RP."""
    kept = [p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)]
    return sorted(set(kept))


def sample(rows: Iterable[Row]) -> str:
    """Seeds, n and the kinds of interval of what is drawn."""
    listed = list(rows)
    seeds = seeds_words([s for row in listed for s in row.seeds])
    sizes = sorted({n for row in listed for n in row.n if n is not None})
    kinds = dict.fromkeys(v.kind for row in listed for v in row.values.values() if v is not None and v.kind)
    intervals = f"Bars: 95 %, {' / '.join(kinds)}." if kinds else "No intervals."
    words = seeds[0].upper() + seeds[1:]
    return f"{words}; n = {' or '.join(map(str, sizes)) or 'not recorded'} test images. {intervals}"


def curves(group: Group) -> list[Chart]:
    """RP against what was spent: one chart for each attack and threat model, a line for each lock."""
    shared: dict[tuple[str, str], list[Row]] = {}
    for row in group.rows:
        if row.curve and not row.attack_purpose:
            shared.setdefault((row.attack, group.threat(row)), []).append(row)
    charts: list[Chart] = []
    for (attack, letter), members in shared.items():
        meter = next((m for m in METERS if any(_moved(row, m) for row in members)), None)
        if meter is not None:
            drawn = [row for row in members if _moved(row, meter)]
            charts.append(_curve_chart(len(charts), attack, letter, meter, drawn))
    return charts


def _moved(row: Row, meter: str) -> bool:
    """Whether a seed handed in at two readings of the meter at least."""
    return any(len({x for x, _ in readings(curve, meter)}) > 1 for curve in (row.curve or {}).values())


def _curve_chart(index: int, attack: str, letter: str, meter: str, rows: Sequence[Row]) -> Chart:
    data: list[dict[str, Any]] = []
    marks: list[Mark] = []
    largest, least = 0.0, np.inf
    for i, row in enumerate(rows):
        name = f"{row.lock}, key {row.key}" if row.key not in ("edit", "domain") else row.lock
        control = row.role == "control"
        shade, dash = GREY if control else colour(i), DASHES[(i if control else i // len(PALETTE)) % len(DASHES)]
        seeds = {s: readings(c, meter) for s, c in (row.curve or {}).items() if readings(c, meter)}
        for points in seeds.values():
            largest, least = max(largest, points[-1][0]), min(least, points[0][0])
        grid, mean = _mean_curve(list(seeds.values()))
        if len(seeds) > 1:
            for seed, points in seeds.items():
                data.append(_steps(points, f"{name}, seed {seed}", shade, 1, "solid", opacity=0.35))
        line = _steps(list(zip(grid, mean, strict=True)), name, shade, 2.4, dash)
        data.append(line | {"mode": "lines+markers", "marker": {"symbol": symbol(i), "size": 7, "color": shade}})
        marks.append(Mark(name + (" (control)" if control else ""), shade, glyph=GLYPHS[symbol(i)], dash=dash))
    for name, words, shade, dash in (
        ("public_baseline", "public baseline", PURPLE, "dash"),
        ("oracle", "oracle (the victim)", GREEN, "dot"),
    ):
        value = next((row.values[name] for row in rows if row.values[name] is not None), None)
        if value is not None:
            ends = [(least, value.mean), (largest, value.mean)]
            data.append(_steps(ends, f"{words} {number(value.mean)}", shade, 1.6, dash) | {"mode": "lines"})
            marks.append(Mark(f"{words}: {number(value.mean)} %", shade, dash=dash))
    look = layout(METERS[meter], "RP (%)", yaxis={"range": [-2, 102]})
    if least > 0 and largest / least >= 20:  # fewer decades than that would have a tick at most
        look["xaxis"] |= {"type": "log", "dtick": 1}
    caption = (
        f"Threat model ({letter}) of the table. Each point is a predictor that the attack handed in at that reading, by"
        " its own selection rule, judged on test afterwards; points before the last may be judged on fewer images."
        f" Heavy lines: mean over seeds. {sample(rows).partition(' Bars')[0].removesuffix(' No intervals.')}"
    )
    return Chart(f"curve-{index}", f"{attack} ({letter})", caption, data, look, marks)


def _steps(
    points: Sequence[tuple[float, float]], name: str, shade: str, width: float, dash: str, **more: Any
) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": safe(name),
        "x": [p[0] for p in points], "y": [p[1] for p in points],
        "line": {"shape": "hv", "color": shade, "width": width, "dash": dash},
        "customdata": [safe(name)] * len(points),
        "hovertemplate": "%{customdata}: RP %{y:.1f} at %{x}<extra></extra>", **more,
    }  # fmt: skip


def _mean_curve(seeds: Sequence[Sequence[tuple[float, float]]]) -> tuple[list[float], list[float]]:
    """Mean over seeds of what each had handed in last, from the reading at which all had."""
    start = max(points[0][0] for points in seeds)
    grid = sorted({x for points in seeds for x, _ in points if x >= start} | {start})
    mean = [float(np.mean([[rp for at, rp in points if at <= x][-1] for points in seeds])) for x in grid]
    return grid, mean


def conditions(group: Group) -> list[Chart]:
    """The locked model's accuracy under each key condition, a chart for each lock and key."""
    charts: list[Chart] = []
    for i, row in enumerate(row for row in group.lock_rows() if row.role != "control"):
        values = [c.accuracy for c in row.conditions]
        data: list[dict[str, Any]] = [
            {
                "type": "bar", "orientation": "h", "y": [safe(c.name) for c in row.conditions],
                "x": [v.mean for v in values], "error_x": {**bars(values), "color": GREY},
                "marker": {"color": [GREEN if c.name == "right" else PALETTE[0] for c in row.conditions]},
                "customdata": [safe(f"{c.what}: {with_interval(c.accuracy)}") for c in row.conditions],
                "hovertemplate": "%{y}: %{customdata}<extra></extra>",
            }
        ]  # fmt: skip
        marks = [Mark("right key", GREEN, glyph="■"), Mark("any other condition", PALETTE[0], glyph="■")]
        shapes = []
        for name, words, shade, dash in (
            ("oracle", "victim on un-authorised images", GREEN, "dot"),
            ("floor", "floor", GREY, "dash"),
        ):
            mean = row.mean(name)
            if mean is not None:
                line = {"color": shade, "dash": dash, "width": 1.6}
                shapes.append({"type": "line", "x0": mean, "x1": mean, "yref": "paper", "y0": 0, "y1": 1, "line": line})
                marks.append(Mark(f"{words}: {number(mean)} %", shade, dash=dash))
        look = layout("accuracy (%)", "", 110 + 26 * len(values), shapes=shapes)
        look["xaxis"]["range"] = [0, 102]
        look["yaxis"] |= {"autorange": "reversed", "type": "category"}
        kinds = dict.fromkeys(v.kind for v in values if v.kind)
        sizes = sorted({c.n for c in row.conditions if c.n is not None})
        caption = (
            "The locked model on test images, no attack; percent over the K real classes."
            f" {seeds_words(row.seeds).capitalize()}; n = {' or '.join(map(str, sizes)) or 'not recorded'}."
            f" {'Bars of error: 95 %, ' + ' / '.join(kinds) + '.' if kinds else 'No intervals.'}"
            f" Controls: the victim on un-authorised images {with_interval(row.values['oracle'])}, the floor"
            f" {with_interval(row.values['floor'])}. Selection rule: none, nothing is chosen."
        )
        body = [
            (c.name, c.what, with_interval(c.accuracy), number(None if c.shipped is None else c.shipped.mean), str(c.n))
            for c in row.conditions
        ]
        table = Table(("condition", "what was applied", "accuracy", "shipped", "n"), body, words=2)
        charts.append(Chart(f"conditions-{i}", f"{row.lock}, key {row.key}", caption, data, look, marks, table))
    return charts


def drops(group: Group) -> Chart | None:
    """What each lock took from source and from target; None where no lock was judged on two domains."""
    rows = [row for row in group.rows if row.drops and row.drops["source_drop"] and row.drops["target_drop"]]
    if not rows:
        return None
    data: list[dict[str, Any]] = []
    marks: list[Mark] = []
    for i, row in enumerate(rows):
        assert row.drops is not None
        source, target = row.drops["source_drop"], row.drops["target_drop"]
        assert source is not None
        assert target is not None
        control = row.role == "control"
        shade = GREY if control else colour(i)
        name = row.lock + (" (control)" if control else "")
        words = f"{name}: source drop {with_interval(source)} points, target drop {with_interval(target)} %"
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": [source.mean], "y": [target.mean], "name": safe(name),
                "marker": {"color": shade, "symbol": symbol(i), "size": 12},
                "error_x": {**bars([source]), "color": shade}, "error_y": {**bars([target]), "color": shade},
                "hovertemplate": HOVER, "customdata": [safe(words)],
            }
        )  # fmt: skip
        marks.append(Mark(name, shade, glyph=GLYPHS[symbol(i)]))
    caption = (
        f"Top left is best: little taken from the rightful user, much from everybody else. {sample(rows)} Target"
        f" drop is relative to the victim; source drop in points. ST-D is undefined where the target drop is under"
        f" {domain.LEAST_DROP:g} %. Selection rule: none, no attack. {_counts(rows)}"
    )
    body = [
        (
            row.lock, seeds_words(row.seeds).partition(" ")[2], with_interval(row.values["UP"]),
            with_interval(row.values["LP"]),
            *(with_interval(value, 3 if name == "st_d" else 1) for name, value in (row.drops or {}).items()),
        )
        for row in group.rows if row.drops is not None
    ]  # fmt: skip
    header = ("lock", "seeds", "source (A_s)", "target (A_t)", *domain.HEADINGS.values())
    look = layout("source drop (points)", "target drop (% of the victim's)", 440)
    table = Table(header, body, words=2)
    return Chart("drops", "Source drop against target drop", caption, data, look, marks, table)


def _counts(rows: Sequence[Row]) -> str:
    most = max(rows, key=lambda row: len(row.seeds))
    victim, floor = most.values["oracle"], most.values["floor"]
    return "" if victim is None or floor is None else f"Controls: {domain.counts(victim, floor)}"
