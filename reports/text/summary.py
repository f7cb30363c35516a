"""The answer first: a verdict on each lock, one compact table, a line for the controls, a line for red flags.

It fits 80 columns without breaking a word or a number. Everything else is in `reports.text.terminal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from reports.rows.aggregate import half_costs
from reports.rows.calibration import opens
from reports.rows.controls import CALIBRATION
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.rows.worst import candidates, worst
from reports.text.captions import alarms, threats
from reports.text.folding import fold
from reports.text.formatting import DASH, EMPTY, number
from reports.text.groups import Group, grouped, lock_name, title
from reports.text.letters import Letters

STYLES = {"broken": "bold red", "not broken": "bold green", "undecided": "bold yellow", "failed": "bold red",
          "no lock": "bold red", "invalid": "bold red", "controls missing": "bold yellow",
          "no attack": "bold"}  # fmt: skip
WIDEST = 100
"""Columns that the summary fills at most."""
UNITS = {
    "guesses": ("guesses", "guess"),
    "edited": ("edited images", "edited image"),
    "queries": ("queries", "query"),
    "steps": ("optimiser steps", "optimiser step"),
}
"""What each meter counts, in the plural and in the singular."""
NAMES, NARROWEST = 19, 11
"""Columns of a lock's and of an attack's name where there are 80, and at least."""
MOST = 1000
"""Rows up to which the summary has the table of all attacks beside what stands for each lock."""
WIDE = {"advantage": 20.0, "recovery": 0.5}
"""Half-widths from which the interval of a control says nothing: points, and a fraction."""
ROOMY = 72
"""Columns from which the table has room for the interval of RP."""


@dataclass(frozen=True)
class Summary:
    """A rich renderable of rows.

    Args:
        rows: as `reports.rows.aggregate.rows` gives them.
        more: how a reader gets the rest: a command.
    """

    rows: Sequence[Row]
    more: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The summary, as wide as the console but for very wide ones."""
        text, width = Letters(options.ascii_only), min(options.max_width, WIDEST)
        if not self.rows:
            yield text(EMPTY)
            return
        for group in grouped(self.rows):
            for pool in _locks(group):
                yield from _block(group, pool, text, width)
                yield text("")
            if len(self.rows) <= MOST:
                yield _table(group, text, width)
                yield text("")
            yield from (text(fold(line, width, "  "), style) for line, style in _threats(group))
            yield from (text(fold(line, width, "  "), style) for line, style in _lines(group))
        if len(self.rows) > MOST:
            line = f"{len(self.rows):,} rows: the table of all attacks is left out; narrow it with --lock, --attack, "
            yield text(fold(f"{line}--task or --model, or write a page with --html FOLDER", width, "  "), "dim")
        if self.more:
            yield text(fold(f"details: {self.more}", width, "  "), "dim")


def summary(rows: Sequence[Row], more: str = "") -> Summary:
    """``rows`` as a rich renderable."""
    return Summary(rows, more)


def verdict_of(row: Row) -> str:
    """The verdict in at most two words."""
    if row.missing and row.role != "control":
        return "controls missing"
    word = short(row.verdict)
    return "no lock" if word in ("not broken", "undecided") and not row.is_locked else word


def short(verdict: str) -> str:
    """A row's verdict as the summary prints it."""
    return "not broken" if verdict == "not broken by this attack" else verdict


def _locks(group: Group) -> list[list[Row]]:
    pools: dict[tuple[str, ...], list[Row]] = {}
    for row in group.methods:
        pools.setdefault(row.place, []).append(row)
    return list(pools.values())


def _block(group: Group, pool: Sequence[Row], text: Letters, width: int) -> RenderResult:
    """What one lock gives its user, gives anybody, and gives up to the best attack."""
    attacked = [row for row in pool if row.status == "ok"]
    row = worst(attacked) or next(iter(attacked), pool[0])
    word, still_open = verdict_of(row), _open(attacked)
    if word == "not broken" and still_open:
        word = "undecided"
    head = f"{lock_name(row)} on {title(group)}"
    yield text.joined((head, "bold"), ("  ", ""), (word.upper(), STYLES.get(word, "bold")))
    if row.status != "ok":
        yield text(fold(f"  {row.reason or row.error or 'no reason was recorded'}", width, "  "))
        return
    lines = [
        ("rightful user gets", row.values["UP"], _beside(row, "UP", "victim_authorised", "the victim, unlocked, has")),
        ("anybody gets", row.values["LP"], _shipped(row)),
        ("best attack reaches", row.values["RP"], f"{row.attack}{_cost(row)}"),
        ("without the model", row.values["public_baseline"], "public baseline: the attacker’s data alone"),
    ]
    for name, value, note in lines:
        first = f"  {name:<20}{_plain(value):>12}  "
        yield text(fold(first + note, width, " " * len(first)), "")
    if still_open and row not in still_open:
        first = f"  {'not decided':<20}{len(still_open):>12}  "
        yield text(fold(first + ", ".join(dict.fromkeys(r.attack for r in still_open)), width, " " * len(first)), "")


def _open(rows: Sequence[Row]) -> list[Row]:
    """Of one lock's rows, those that may yet break it: undecided ones, and ones that lack a control."""
    return [row for row in candidates(rows) if verdict_of(row) in ("undecided", "controls missing")]


def _beside(row: Row, name: str, other: str, words: str) -> str:
    value = row.values[other]
    return "" if value is None or row.values[name] is None else f"{words} {number(value.mean)}"


def _shipped(row: Row) -> str:
    shipped, lp = row.values["LP_shipped"], row.values["LP"]
    if shipped is None or lp is None or abs(shipped.mean - lp.mean) < 0.05:
        return ""
    return f"with every output it ships {number(shipped.mean)}"


def _cost(row: Row) -> str:
    """At which cost half of the lost performance is back, by the first meter that counts for the attack."""
    for meter, costs in (half_costs(row) or {}).items():
        known = [cost for cost in costs if cost is not None]
        if known:
            least, most = min(known), max(known)
            span = f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}"
            seeds = f" in {len(known)} of {len(costs)} seeds" if len(known) < len(costs) else ""
            return f"; half of the loss is back after {span} {UNITS[meter][most == 1]}{seeds}"
    return ""


def _table(group: Group, text: Letters, width: int) -> Table:
    rows = group.methods or group.controls
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", collapse_padding=True)
    letters = _told_apart_by_threat(rows)
    for heading in ("lock", "attack"):
        table.add_column(heading, no_wrap=True)
    for heading in ("UP", "LP", "RP", "baseline"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    names = max(NARROWEST, NAMES + (width - 80) // 2)
    recovered = _plain if width >= ROOMY else _mean
    for row in rows:
        word = verdict_of(row)
        attack = f"{row.attack} ({group.threat(row)})" if letters else row.attack
        table.add_row(
            text(fold(lock_name(row), names)),
            text(fold(attack, names)),
            text(_mean(row.values["UP"])),
            text(_mean(row.values["LP"])),
            text(recovered(row.values["RP"])),
            text(_mean(row.values["public_baseline"])),
            text(word.replace(" ", "\n") if word == "controls missing" else word, STYLES.get(word, "dim")),
        )
    return table


def _told_apart_by_threat(rows: Sequence[Row]) -> bool:
    """Whether some rows differ in their threat model alone."""
    return len({(row.lock, row.key, row.attack, row.status) for row in rows}) < len(rows)


def _threats(group: Group) -> list[tuple[str, str]]:
    if not _told_apart_by_threat(group.methods):
        return []
    return [(line, "dim") for line in threats(group)]


def _lines(group: Group) -> list[tuple[str, str]]:
    """The line of the controls, those of failures, and the line of the red flags, each with its style."""
    lines = [(line, "bold red") for line in alarms(group)]
    lacking = dict.fromkeys((lack.control, lack.command) for row in group.methods for lack in row.missing)
    lines += [(f"control missing: {control}; run: {command}", "yellow") for control, command in lacking]
    if not lines:
        decided, open_ = _calibrations(group)
        if decided:
            lines.append((f"controls ok: {'; '.join(decided)}", "green"))
        if open_:
            lines.append((f"controls not decided: {'; '.join(open_)}", "yellow"))
    bad = [row for row in group.rows if row.status != "ok"]
    for row in bad:
        lines.append((f"{row.status}: {lock_name(row)} × {row.attack}: {row.reason or row.error or ''}", "red"))
    flags: dict[str, list[str]] = {}
    for row in group.rows:
        for name in row.flags:
            flags.setdefault(name, []).append(lock_name(row))
    if flags:
        words = "; ".join(f"{name} ({', '.join(dict.fromkeys(locks))})" for name, locks in flags.items())
        lines.append((f"red flags: {words}; read docs/reference/flags.md", "yellow"))
    return lines


def _calibrations(group: Group) -> tuple[list[str], list[str]]:
    """What the controls of a group showed, and those whose interval is too wide to show anything."""
    words = {"must-not-open": "stayed closed", "must-open": "opened"}
    decided: list[str] = []
    open_: list[str] = []
    for row in group.controls:
        tested = opens(row) if row.lock_purpose == "must-open" else row.lock_purpose in CALIBRATION
        against = "oracle" if row.lock_purpose == "must-open" else "advantage"  # without it nothing was compared
        if tested and row.values["RP"] is not None and row.values[against] is not None and not row.attack_purpose:
            name = "recovery" if row.lock_purpose == "must-open" else "advantage"
            if why := _says_nothing(name, row.values[name]):
                open_.append(f"{row.lock} × {row.attack}: {why}")
            else:
                decided.append(f"{row.lock} {words[row.lock_purpose]}")
    return list(dict.fromkeys(decided)), list(dict.fromkeys(open_))


def _says_nothing(name: str, value: Value | None) -> str:
    """The value in words where its interval is too wide, or is none; empty where it says something."""
    if value is None:
        return ""
    digits = 2 if name == "recovery" else 1
    if value.bounds is None:
        return f"{name} {value.mean:.{digits}f} without an interval"
    half = max(value.bounds[1] - value.mean, value.mean - value.bounds[0])
    excluded = name == "advantage" and value.bounds[1] <= WIDE[name]  # however wide, it is no opening
    return f"{name} {value.mean:.{digits}f} ±{half:.{digits}f}" if half > WIDE[name] and not excluded else ""


def _mean(value: Value | None) -> str:
    return DASH if value is None else number(value.mean)


def _plain(value: Value | None) -> str:
    """``99.0 ±1.6``."""
    if value is None:
        return DASH
    return number(value.mean) if value.half is None else f"{number(value.mean)} ±{number(value.half)}"
