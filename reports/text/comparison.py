"""Ours beside print, as a table for a terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from reports.rows.comparison import Beside
from reports.rows.intervals import Value
from reports.text.markdown_table import escape, markdown_table

HEADINGS = ("task", "lock", "attack", "number", "theirs", "ours", "seeds", "verdict")
STYLES = {"inside": "green", "outside": "red", "not comparable": "dim"}
CSV_COLUMNS = (
    "file", "task", "lock", "attack", "column", "number", "theirs", "error", "provenance", "ours", "low", "high",
    "interval", "seeds", "seeds_of_recipe", "verdict", "why",
)  # fmt: skip
FORMATS = ("terminal", "md", "csv")


def terminal(comparisons: Sequence[Beside]) -> Table:
    """A table for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in HEADINGS:
        table.add_column(name, overflow="fold")
    for each in comparisons:
        *cells, word = line_of(each)
        table.add_row(*map(Text, cells), Text(word, style=STYLES[each.verdict.word]))
    return table


def markdown(comparisons: Sequence[Beside]) -> str:
    """A Markdown table."""
    return markdown_table(HEADINGS, [[escape(cell) for cell in line_of(each)] for each in comparisons])


def as_csv(comparisons: Sequence[Beside]) -> str:
    """Every field, a line for each published number; what was not measured is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for each in comparisons:
        ours = each.ours
        numbers = ("", "", "", "") if ours is None else (ours.mean, ours.low, ours.high, ours.kind)
        writer.writerow(
            [
                each.file, each.task, each.lock, each.attack, each.what, each.number, each.theirs, each.error,
                each.provenance, *("" if x is None else x for x in numbers), *each.seeds, each.verdict.word,
                each.verdict.why,
            ]
        )  # fmt: skip
    return out.getvalue()


def line_of(each: Beside) -> list[str]:
    """The cells of one line, in the order of `HEADINGS`."""
    return [
        each.task, each.lock, each.attack, each.number, theirs_of(each), ours_of(each.ours),
        f"{each.seeds[0]} of {each.seeds[1]}", str(each.verdict),
    ]  # fmt: skip


def theirs_of(each: Beside) -> str:
    """``85.6``, or ``37.9 ± 0.5`` where it was read off a figure."""
    return f"{each.theirs} ± {each.error:g}" if "digitised" in each.provenance else each.theirs


def ours_of(value: Value | None) -> str:
    """``81.2 [79.0, 83.4] t over seeds``: an interval has its kind; a dash where nothing was measured."""
    if value is None:
        return "—"
    if value.low is None or value.high is None:
        return f"{value.mean:.1f}"
    return f"{value.mean:.1f} [{value.low:.1f}, {value.high:.1f}] {value.kind or ''}".rstrip()
