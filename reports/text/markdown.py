"""Rows as Markdown: for each scenario and model its tables, each with its captions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.rows.row import Row
from reports.text.cells import Cell, tables
from reports.text.formatting import EMPTY, flat
from reports.text.groups import grouped, title
from reports.text.markdown_table import markdown_table


def as_markdown(rows: Sequence[Row]) -> str:
    """``rows`` as Markdown."""
    if not rows:
        return EMPTY + "\n"
    lines: list[str] = []
    for group in grouped(rows):
        lines += [f"## {plain(title(group))}", ""]
        for table in tables(group):
            bullet = "" if table.title else "- "
            for section in table.sections:
                body = [[_cell(cell) for cell in row] for row in section.rows]
                heading = plain(table.title) or section.heading
                headings = [plain(text) for text in table.headings]
                lines += [f"### {heading}", "", markdown_table(headings, body, table.align), ""]
            lines += [f"{bullet}{plain(caption)}" for caption in table.captions] + [""]
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """``text`` on one line with everything escaped that Markdown would read; brackets would start links."""
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", flat(text))


def _cell(cell: Cell) -> str:
    # The interval's brackets are left bare: they hold numbers, which no link has for a target.
    return f"{plain(cell.text)} {cell.interval}".strip()
