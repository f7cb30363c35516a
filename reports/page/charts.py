"""Charts of locks: what they cost against what opens them, and their key conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.page.chart_spec import (
    PERCENT,
    Axis,
    Bar,
    Chart,
    Level,
    Point,
    Series,
    Table,
    arms,
    sample_words,
    uncounted,
)
from reports.page.palette import COLOURS, NEUTRAL, ORACLE, RIGHT, colour, symbol
from reports.rows import domain
from reports.rows.row import Row
from reports.rows.worst import candidates, furthest
from reports.text import findings
from reports.text.cells import DOMAIN_HEADINGS, condition_words, domain_counts, drop_digits
from reports.text.formatting import number, seeds_list, seeds_words, with_interval
from reports.text.groups import COST, Group, costly, lock_name, title


@dataclass(frozen=True)
class Worst:
    """A lock's worst case: the row of its strongest attack, and the images that it was chosen by."""

    row: Row
    by: str


def worst_cases(rows: Iterable[Row], validation: Mapping[str, float | None]) -> list[Worst]:
    """For each lock and key, the row that opens it furthest, as `reports.rows.worst.furthest` chooses it.

    Args:
        rows: of one scenario and model; those without RP (failed, or lacking a control) are left out.
        validation: by row key, the mean RP on judge-validation images.
    """
    by_lock: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.values["RP"] is not None and row.status == "ok" and not row.attack_purpose:
            by_lock.setdefault((row.lock, row.key), []).append(row)
    cases = []
    for pool in by_lock.values():
        row, blind = furthest(candidates(pool), validation)
        cases.append(Worst(row, "judge-validation images" if blind else "test images"))
    return cases


def trade_off(group: Group, validation: Mapping[str, float | None]) -> Chart | None:
    """UP against worst-case RP, a point for each lock, with the Pareto front; None where no lock has both."""
    cases = [case for case in worst_cases(group.rows, validation) if case.row.values["UP"] is not None]
    methods = [case.row for case in cases if case.row.role != "control"]
    if not methods:
        return None
    series = []
    front = pareto_front([(row.mean("RP") or 0.0, row.mean("UP") or 0.0) for row in methods])
    if len(front) > 1:
        points = [Point(x, y) for x, y in front]
        series.append(Series("Pareto front", points, NEUTRAL, dash="dot", stepped=True, width=1.5))
    for i, row in enumerate(case.row for case in cases):
        name = lock_name(row)
        name += " (control)" if row.role == "control" else " (UP too low, unranked)" if costly(row) else ""
        words = (
            f"{name}: UP {with_interval(row.values['UP'])}, RP {with_interval(row.values['RP'])} by {_by(group, row)}"
        )
        series.append(_dot(i, row, name, words, "RP", "UP"))
    chosen = " or ".join(dict.fromkeys(case.by for case in cases))
    caption = (
        f"Top left is best: useful with the key, useless without. RP of the attack furthest above the public"
        f" baseline, chosen on {chosen}, over all threat models of the table."
        f" {sample_words(case.row for case in cases)}"
        f"{uncounted(group.methods)} Open symbols: UP"
        f" more than {COST:g} points under the victim. Points below and right of the dotted line are beaten on both"
        " counts."
    )
    body = [
        (row.lock, row.key, _by(group, row), *(with_interval(row.values[n]) for n in ("UP", "RP", "advantage")))
        for row in (case.row for case in cases)
    ]
    x = Axis("worst-case RP (%), lower is better", PERCENT)
    y = Axis("UP (%), higher is better", PERCENT)
    table = Table(("lock", "key", "strongest attack", "UP", "RP", "advantage"), body, words=3)
    name = findings.of_trade_off(methods)
    return Chart("trade-off", name, title(group), caption, x, y, series, table=table, height=440)


def drops(group: Group) -> Chart | None:
    """What each lock took from source and from target; None where no lock was judged on two domains."""
    pairs = [row for row in group.rows if row.drops is not None]
    rows = [row for row in pairs if row.drops and row.drops["source_drop"] and row.drops["target_drop"]]
    if not rows:
        return None
    series = []
    for i, row in enumerate(rows):
        of = row.drops or {}
        name = lock_name(row) + (" (control)" if row.lock_purpose else "")
        words = (
            f"source drop {with_interval(of['source_drop'])} points, target drop {with_interval(of['target_drop'])} %"
        )
        series.append(_dot(i, row, name, f"{name}: {words}", "source_drop", "target_drop"))
    counts = domain_counts(rows)
    caption = (
        f"Top left is best: little taken from the rightful user, much from everybody else. {sample_words(rows)} Target"
        f" drop is relative to the victim; source drop in points. ST-D is undefined where the target drop is under"
        f" {domain.LEAST_DROP:g} %. Selection rule: none, no attack. {f'Controls: {counts}' if counts else ''}"
    )
    body = [
        (
            lock_name(row), seeds_list(row.seeds), with_interval(row.values["UP"]), with_interval(row.values["LP"]),
            *(with_interval(value, drop_digits(name)) for name, value in (row.drops or {}).items()),
        )
        for row in pairs
    ]  # fmt: skip
    x, y = Axis("source drop (points)"), Axis("target drop (% of the victim's)")
    table = Table(DOMAIN_HEADINGS, body, words=2)
    return Chart("drops", findings.of_drops(rows), title(group), caption, x, y, series, table=table, height=440)


def conditions(group: Group) -> list[Chart]:
    """The key conditions of each lock and key that is no control."""
    rows = [row for row in group.lock_rows() if row.role != "control"]
    return [condition_bars(group, row, i) for i, row in enumerate(rows)]


def condition_bars(group: Group, row: Row, index: int = 0) -> Chart:
    """The locked model under each key condition of ``row``, a bar each."""
    bars = [
        Bar(c.name, c.applied, c.accuracy, RIGHT, "right key")
        if c.kind == "right"
        else Bar(c.name, c.applied, c.accuracy, COLOURS[0], "any other condition")
        for c in row.conditions
    ]
    lines = (("oracle", "victim on unauthorised images", ORACLE, "dot"), ("floor", "floor", NEUTRAL, "dash"))
    levels = [
        Level(mean, f"{words}: {number(mean)} %", shade, dash, "x")
        for field, words, shade, dash in lines
        if (mean := row.mean(field)) is not None
    ]
    sizes = " or ".join(map(str, sorted({c.n for c in row.conditions if c.n is not None}))) or "not recorded"
    caption = condition_words(row, "test images", f"{sizes}; {seeds_words(row.seeds)}", "Bars of error")
    body = [
        (c.name, c.applied, with_interval(c.accuracy), number(None if c.shipped is None else c.shipped.mean), str(c.n))
        for c in row.conditions
    ]
    kinds = " / ".join(dict.fromkeys(bar.value.kind for bar in bars if bar.value.kind))
    errors = f"bars of error: 95 %, {kinds}" if kinds else "no intervals"
    return Chart(
        f"conditions-{index}", findings.of_conditions(row), f"{title(group)}; {seeds_words(row.seeds)}; {errors}",
        caption, Axis(f"{row.metric} (%)", (0, 102)), Axis(""), bars=bars, levels=levels,
        table=Table(("condition", "what was applied", row.metric, "shipped", "n"), body, words=2),
        height=110 + 26 * len(bars),
    )  # fmt: skip


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (RP, UP) those that no other beats with less RP and more UP, by RP."""
    front = [p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)]
    return sorted(set(front))


def _by(group: Group, row: Row) -> str:
    return f"{row.attack} ({group.threat(row)})"


def _dot(i: int, row: Row, name: str, words: str, x: str, y: str) -> Series:
    """A series of one point: fields ``x`` and ``y`` of the row or of its drops, which must be there."""
    values = {**row.values, **(row.drops or {})}
    across, up = values[x], values[y]
    points = [Point(across.mean, up.mean, words, arms(across), arms(up))] if across and up else []
    shade = NEUTRAL if row.lock_purpose else colour(i)
    return Series(name, points, shade, symbol(i), hollow=bool(costly(row)) and x == "RP")
