"""Text of others on one's own terminal: what would move a cursor or turn the direction of writing is spelled out."""

from __future__ import annotations

import unicodedata

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of what cannot be seen: control and format characters, bytes that are no UTF-8, ends of lines."""


def is_printable(text: str) -> bool:
    """Whether every character of ``text`` can be seen, or is a space."""
    return not any(unicodedata.category(c) in HIDDEN for c in text)


def printable(text: str, keep: str = "") -> str:
    """``text`` with every character that cannot be seen as its escape, e.g. ``\\x1b``; those of ``keep`` stay."""
    return "".join(_escape(c) if unicodedata.category(c) in HIDDEN and c not in keep else c for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
