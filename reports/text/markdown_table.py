"""The one writer of Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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


def escape(text: str) -> str:
    """``text`` on one line with everything that Markdown would read as markup escaped.

    Brackets would start links, so ``[1]`` and ``modellock[decoys=fixed]`` are escaped too.
    """
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))


def _cell(content: object) -> str:
    # What `escape` escaped already must not be escaped again.
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(str(content).split()))
