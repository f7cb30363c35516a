"""The one writer of Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "---:", "c": ":---:"}
PIPE, BAR = r"(?<!\\)\|", r"\\|"
"""A pipe that no backslash escapes, and what stands for it."""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table, without a newline at its end.

    Args:
        headings: one for each column.
        rows: cells of each row. A pipe is escaped unless it is already; line breaks become spaces.
        align: a letter for each column: l, r or c. Columns beyond its end are as its last letter says, else l.

    Raises:
        ValueError: a row with more or fewer cells than there are headings.
    """
    letters = (align + (align[-1:] or "l") * len(headings))[: len(headings)]
    lines = [_line(headings), _line([RULES[letter] for letter in letters])]
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"{len(row)} cells under {len(headings)} headings")
        lines.append(_line(row))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    flat = (" ".join(cell.split()) for cell in cells)
    return f"| {' | '.join(re.sub(PIPE, BAR, cell) for cell in flat)} |"
