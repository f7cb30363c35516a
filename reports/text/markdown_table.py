"""The one writer of Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.text.escaping import flat
from reports.text.escaping import markdown as escape

__all__ = ["escape", "markdown_table"]

_RULES = {"l": "---", "r": "---:", "c": ":---:"}


def markdown_table(headings: Sequence[object], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """A table as GitHub-flavoured Markdown, without a line end after its last line.

    Args:
        headings: one for each column.
        rows: cells as text, one for each column. Line breaks become spaces, and pipes are escaped; nothing else is.
        align: ``l``, ``r`` or ``c`` for each column; empty: all to the left.

    Raises:
        ValueError: a row, or ``align``, has another number of columns than ``headings``.
    """
    rules = [_RULES[side] for side in align or "l" * len(headings)]
    lines = [list(map(_cell, headings)), rules, *(list(map(_cell, row)) for row in rows)]
    for line in lines:
        if len(line) != len(headings):
            raise ValueError(f"{len(line)} cells in a table of {len(headings)} columns: {line}")
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(content: object) -> str:
    # What is escaped already must not be escaped again; a backslash may itself be.
    return re.sub(r"(?<!\\)((?:\\\\)*)\|", r"\1\\|", flat(str(content)))
