"""The leaderboard in the terminal: wide in 100 columns, narrow in 80; in fewer it folds rather than truncates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.text.captions import alarms, captions
from reports.text.cells import attack_mark, condition, domain_counts, drop_digits, lost
from reports.text.folding import fold
from reports.text.formatting import DASH, EMPTY, digits, number
from reports.text.groups import Group, flag_numbers, grouped, lock_name, title
from reports.text.letters import Letters

FITS, WIDE = 100, 120
"""Columns from which a table is wide, and from which it is where ± takes three letters."""
STYLES = {
    "broken": "bold red",
    "failed": "bold red",
    "invalid": "bold red",
    "not broken by this attack": "green",
    "undecided": "yellow",
    "control": "dim",
}
NUMERIC = ("UP", "LP\nK | shipped", "RP", "oracle", "public\nbase-\nline", "advan-\ntage", "recov-\nery")
NARROW = ("UP", "LP K\nshipped", "RP", "ora-\ncle", "pub-\nlic\nbase-\nline", "ad-\nvan-\ntage", "re-\ncov-\nery")
NAMES, NARROW_NAMES = 14, 11
"""Columns that a lock's or an attack's name may take; longer ones go on in the next line."""


@dataclass(frozen=True)
class Leaderboard:
    """A rich renderable of rows; texts are never read as markup, so that ``modellock[decoys=fixed]`` survives."""

    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The leaderboard, narrower where the console is."""
        text = Letters(options.ascii_only)
        if not self.rows:
            yield text(EMPTY)
        for group in grouped(self.rows):
            yield Rule(text(title(group), style="bold"), align="left")
            yield _table(group, text, narrow=options.max_width < (WIDE if text.ascii else FITS))
            if pairs := [row for row in group.rows if row.drops is not None]:
                yield _domain_table(pairs, text)
                yield Padding(text(domain_counts(pairs), style="dim"), (0, 0, 0, 2))
            failing = alarms(group)
            for line in captions(group):
                yield Padding(text(line, style="bold red" if line in failing else "dim"), (0, 0, 0, 2))
            yield text("")


def terminal(rows: Sequence[Row]) -> Leaderboard:
    """``rows`` as a rich renderable: one table for each scenario and model, numbers with ± half the 95 % interval."""
    return Leaderboard(rows)


def _table(group: Group, text: Letters, narrow: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", collapse_padding=True)
    table.add_column("lock", overflow="fold")
    table.add_column("attack", overflow="fold")
    for heading in NARROW if narrow else NUMERIC:
        table.add_column(heading, justify="right", no_wrap=not narrow, overflow="fold")
    table.add_column("verdict", overflow="fold")
    table.add_column("flag" if narrow else "flags", overflow="fold")
    for i, block in enumerate(group.blocks()):
        if i:
            table.add_row(*[text("")] * (len(NUMERIC) + 4))
        if i or block.pinned or "Unranked" in block.heading:
            heading = "Controls" if narrow and block.pinned else block.heading.partition(",")[0]
            table.add_row(text(fold(heading, NARROW_NAMES if narrow else 2 * NAMES), style="dim italic"))
        for row in block.rows:
            table.add_row(*_cells(group, row, text, narrow))
    return table


def _domain_table(pairs: Sequence[Row], text: Letters) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("source and target", overflow="fold")
    for heading in ("source\nA_s", "target\nA_t", "source\ndrop", "target drop\n%", "ST-D", "(A_s+100\n-A_t)/2"):
        table.add_column(heading, justify="right")
    for row in pairs:
        sides = [text(_stacked(row.values[name])) for name in ("UP", "LP")]
        drops = [text(_stacked(value, drop_digits(name))) for name, value in (row.drops or {}).items()]
        table.add_row(text(fold(lock_name(row), 28)), *sides, *drops)
    return table


def _cells(group: Group, row: Row, text: Letters, narrow: bool) -> list[Text]:
    flags = flag_numbers(group)
    numbers = [_stacked(row.values["UP"]), _locked(row, narrow)]
    for name in ("RP", "oracle", "public_baseline", "advantage", "recovery"):
        numbers.append(_stacked(row.values[name], digits(name)))
    word = "controls missing" if row.missing and row.role != "control" else row.verdict
    words = "; ".join([f"{word}: {row.reason}" if row.reason else word, *condition(row), *lost(row)])
    names = NARROW_NAMES if narrow else NAMES
    return [
        text(fold(lock_name(row), names)),
        text(fold(f"{row.attack} ({group.threat(row)}){attack_mark(row)}", names)),
        *map(text, numbers),
        text(words, style=STYLES.get(word, "yellow")),
        text(" ".join(str(flags[name]) for name in row.flags)),
    ]


def _arm(value: Value | None, decimals: int = 1) -> str:
    return "" if value is None or value.half is None else f"±{number(value.half, decimals)}"


def _stacked(value: Value | None, decimals: int = 1) -> str:
    if value is None:
        return DASH
    return f"{number(value.mean, decimals)}\n{_arm(value, decimals)}".rstrip()


def _locked(row: Row, narrow: bool) -> str:
    lp, shipped = row.values["LP"], row.values["LP_shipped"]
    if shipped is None:
        return _stacked(lp)
    if narrow:
        return "\n".join(DASH if v is None else f"{number(v.mean)}{_arm(v)}" for v in (lp, shipped))
    arms = [_arm(value) for value in (lp, shipped)]
    means = f"{number(None if lp is None else lp.mean)} | {number(shipped.mean)}"
    return f"{means}\n{' | '.join(arms) if all(arms) else ''.join(arms)}".rstrip()
