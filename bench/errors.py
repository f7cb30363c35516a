"""Errors that a user can act on: one clear line and its remedy, exit status 2."""

from __future__ import annotations

from collections.abc import Sequence

from bench.legible import cut, escaped

LONGEST = 2000
"""Characters of a message or remedy; the middle of a longer one is left out."""


class UserError(Exception):
    """Something the user asked for cannot be done.

    Args:
        message: what is wrong, one line.
        remedy: what to do about it, one line.
        lines: of code or of a command that follow the remedy, one line each.
    """

    def __init__(self, message: str, remedy: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.remedy = one_line(remedy)
        self.lines = tuple(map(one_line, lines))

    def __str__(self) -> str:
        return "\n".join([f"{self.message} {self.remedy}".strip(), *self.lines])


def one_line(text: str) -> str:
    """``text`` on one line: what cannot be seen or would break the line is written as an escape, e.g. ``\\n``."""
    return "".join(c if c.isprintable() else escaped(c) for c in cut(text, LONGEST))
