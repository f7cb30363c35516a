"""Rows as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from reports.rows.row import Row
from reports.text.cells import Cell, Table, leaderboard, side_tables
from reports.text.escaping import markdown
from reports.text.formatting import EMPTY
from reports.text.groups import grouped
from reports.text.markdown_table import markdown_table


def as_md(rows: Sequence[Row]) -> str:
    """Markdown: for each scenario and model the methods, the controls, a caption, and each lock's key conditions."""
    if not rows:
        return EMPTY + "\n"
    parts: list[str] = []
    for group in grouped(rows):
        board = leaderboard(group)
        parts.append(f"## {markdown(board.title)}")
        for name, lines in board.blocks:
            parts += [f"### {name}", _table(board, lines)]
        parts.append("\n".join(f"- {markdown(line)}" for line in (*board.captions, *board.notes)))
        for table in side_tables(group):
            parts += [f"### {markdown(table.title)}", _table(table, table.lines), *map(markdown, table.captions)]
    return "\n\n".join(parts) + "\n"


def _table(table: Table, lines: Sequence[Sequence[Cell]]) -> str:
    headings = map(markdown, table.headings)
    # The interval's brackets are left bare: they hold numbers, which no link has for a target.
    body = [[f"{markdown(cell.text)} {cell.beside}".strip() for cell in line] for line in lines]
    return markdown_table(list(headings), body, table.align)
