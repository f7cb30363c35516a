"""Charts of one table: cost against strength, what a lock took from two domains, and key conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.page.chart_spec import Axis, Bar, Chart, ChartTable, Point, Reference, Series, arms
from reports.page.palette import FLOOR, FRONT, ORACLE, OTHER_KEY, RIGHT_KEY, Style, style
from reports.rows import domain
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.worst import candidates
from reports.text.cells import DOMAIN_HEADINGS, condition_controls, domain_counts
from reports.text.formatting import number, seeds_words, with_interval
from reports.text.groups import COST, Group, costly, title


@dataclass(frozen=True)
class Worst:
    """A lock's worst case: the row of its strongest attack, and what that was chosen by."""

    row: Row
    by: str


def worst_cases(rows: Iterable[Row], validation: Mapping[str, float | None]) -> list[Worst]:
    """For each lock and key, the row that opens it furthest.

    Args:
        rows: of one scenario and model; those without RP (failed, or lacking a control) are left out.
        validation: by row key, the mean RP on judge-validation images, percent. Where every row of a lock has one,
            the worst is chosen by it: the best of many on test images is too high by luck.
    """
    by_lock: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.values["RP"] is not None and row.status == "ok" and not row.attack_purpose:
            by_lock.setdefault((row.lock, row.key), []).append(row)
    cases = []
    for pool in by_lock.values():
        members = candidates(pool)
        scores = [validation.get(row.row_key) for row in members]
        known = [s for s in scores if s is not None]
        blind = len(known) == len(members)
        used = known if blind else [row.mean("RP") or 0.0 for row in members]
        best = members[int(np.argmax(used))]
        cases.append(Worst(best, "judge-validation images" if blind else "test images"))
    return cases


def trade_off(group: Group, validation: Mapping[str, float | None]) -> Chart | None:
    """UP against worst-case RP, a point for each lock, with the Pareto front; None where no lock has both."""
    cases = [w for w in worst_cases(group.rows, validation) if w.row.values["UP"] is not None]
    methods = [w.row for w in cases if w.row.role != "control"]
    if not methods:
        return None
    keys: dict[str, set[str]] = {}
    for w in cases:
        keys.setdefault(w.row.lock, set()).add(w.row.key)
    series: list[Series] = []
    front = _front([(row.mean("RP") or 0.0, row.mean("UP") or 0.0) for row in methods])
    if len(front) > 1:
        series.append(Series("Pareto front", [Point(x, y) for x, y in front], FRONT, "steps"))
    for i, row in enumerate(w.row for w in cases):
        name = row.lock + (f", key {row.key}" if len(keys[row.lock]) > 1 else "")
        low = bool(costly(row))
        name += " (control)" if row.role == "control" else " (UP too low, unranked)" if low else ""
        x, y = row.values["RP"], row.values["UP"]
        words = f"{name}: UP {with_interval(y)}, RP {with_interval(x)} by {row.attack} ({group.threat(row)})"
        series.append(_spot(name, x, y, words, i, row.role == "control", low))
    chosen = " or ".join(dict.fromkeys(w.by for w in cases))
    caption = (
        f"Top left is best: useful with the key, useless without. RP of each lock's strongest attack, chosen on"
        f" {chosen}, over all threat models of the table. {sample(w.row for w in cases)} Open symbols: UP more"
        f" than {COST:g} points under the victim. Points below and right of the dotted line are beaten on both counts."
    )
    body = [
        (
            w.row.lock, w.row.key, f"{w.row.attack} ({group.threat(w.row)})",
            *(with_interval(w.row.values[name]) for name in ("UP", "RP", "advantage")),
        )
        for w in cases
    ]  # fmt: skip
    return Chart(
        "trade-off", "UP against worst-case RP", f"UP against worst-case RP, {title(group)}", caption,
        Axis("worst-case RP (%), lower is better", (-3, 103)), Axis("UP (%), higher is better", (-3, 103)), series,
        height=440, table=ChartTable(("lock", "key", "strongest attack", "UP", "RP", "advantage"), body, words=3),
    )  # fmt: skip


def _spot(
    name: str, x: Value | None, y: Value | None, words: str, i: int, control: bool, hollow: bool = False
) -> Series:
    """One lock's point with both intervals; none where either number is absent."""
    points = [] if x is None or y is None else [Point(x.mean, y.mean, words, arms(x), arms(y))]
    return Series(name, points, style(i, control, line=False), hollow=hollow)


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats with less RP and more UP, by RP."""
    best = [p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)]
    return sorted(set(best))


def sample(rows: Iterable[Row], intervals: bool = True) -> str:
    """Seeds and n of what is drawn, and the kinds of its intervals."""
    listed = list(rows)
    seeds = seeds_words([s for row in listed for s in row.seeds])
    sizes = sorted({n for row in listed for n in row.n if n is not None})
    text = f"{seeds[0].upper()}{seeds[1:]}; n = {' or '.join(map(str, sizes)) or 'not recorded'} test images."
    values = [v for row in listed for v in row.values.values() if v is not None]
    return f"{text} {_intervals(values)}" if intervals else text


def _intervals(values: Iterable[Value]) -> str:
    kinds = dict.fromkeys(v.kind for v in values if v.kind)
    return f"Bars: 95 %, {' / '.join(kinds)}." if kinds else "No intervals."


def drops(group: Group) -> Chart | None:
    """What each lock took from source and from target; None where no lock was judged on two domains."""
    pairs = [(row, row.drops) for row in group.rows if row.drops is not None]
    rows = [(row, d["source_drop"], d["target_drop"]) for row, d in pairs if d["source_drop"] and d["target_drop"]]
    if not rows:
        return None
    series = []
    for i, (row, source, target) in enumerate(rows):
        control = bool(row.lock_purpose)
        name = row.lock + (" (control)" if control else "")
        words = f"{name}: source drop {with_interval(source)} points, target drop {with_interval(target)} %"
        series.append(_spot(name, source, target, words, i, control))
    counts = domain_counts(row for row, *_ in rows)
    caption = (
        f"Top left is best: little taken from the rightful user, much from everybody else."
        f" {sample(row for row, *_ in rows)} Target drop is relative to the victim; source drop in points."
        f" ST-D is undefined where the target drop is under {domain.LEAST_DROP:g} %. Selection rule: none, no attack."
    ) + (f" Controls: {counts}" if counts else "")
    body = [
        (
            row.lock, seeds_words(row.seeds).partition(" ")[2],
            *(with_interval(row.values[name]) for name in ("UP", "LP")),
            *(with_interval(value, 3 if name == "st_d" else 1) for name, value in d.items()),
        )
        for row, d in pairs
    ]  # fmt: skip
    return Chart(
        "drops", "Source drop against target drop", f"Source drop against target drop, {title(group)}", caption,
        Axis("source drop (points)"), Axis("target drop (% of the victim's)"), series, height=440,
        table=ChartTable(DOMAIN_HEADINGS, body, words=2),
    )  # fmt: skip


def conditions(group: Group, controls: bool = False) -> list[Chart]:
    """The locked model's accuracy under each key condition, a chart for each lock and key.

    Args:
        controls: also those of control locks.
    """
    rows = [row for row in group.lock_rows() if controls or row.role != "control"]
    return [_conditions(i, row, title(group)) for i, row in enumerate(rows)]


def _conditions(index: int, row: Row, place: str) -> Chart:
    bars = [
        Bar(
            c.name, c.what, with_interval(c.accuracy), c.accuracy.mean, arms(c.accuracy),
            RIGHT_KEY if c.kind == "right" else OTHER_KEY,
        )
        for c in row.conditions
    ]  # fmt: skip
    lines = (("oracle", "victim on unauthorised images", ORACLE), ("floor", "floor", FLOOR))
    sizes = sorted({c.n for c in row.conditions if c.n is not None})
    seeds, intervals = seeds_words(row.seeds), _intervals(c.accuracy for c in row.conditions)
    caption = (
        "The locked model on test images, no attack; percent over the K real classes."
        f" {seeds.capitalize()}; n = {' or '.join(map(str, sizes)) or 'not recorded'}. {intervals}"
        f" {condition_controls(row)}"
    )
    body = [
        (c.name, c.what, with_interval(c.accuracy), number(None if c.shipped is None else c.shipped.mean), str(c.n))
        for c in row.conditions
    ]
    name = f"{row.lock}, key {row.key}"
    return Chart(
        f"conditions-{index}", name, f"{name} — {place}, {seeds}. {intervals}", caption,
        Axis("accuracy (%)", (0, 102)), Axis(""), bars=bars, references=references(row, lines),
        key=(("right key", RIGHT_KEY), ("any other condition", OTHER_KEY)), height=110 + 26 * len(bars),
        table=ChartTable(("condition", "what was applied", "accuracy", "shipped", "n"), body, words=2),
    )  # fmt: skip


def references(row: Row, lines: Iterable[tuple[str, str, Style]]) -> list[Reference]:
    """A line for each (field, words, look) that ``row`` has, with its mean in the legend."""
    means = [(words, row.mean(name), look) for name, words, look in lines]
    return [Reference(f"{words}: {number(mean)} %", mean, look) for words, mean, look in means if mean is not None]
