"""Colours, symbols and dashes of every chart, on the page and in files.

Every colour has enough contrast on light and on dark paper, and no line is told apart by colour alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

COLOURS = ("#3d7edb", "#cf6a17", "#2c9a5d", "#9a63d6", "#d6493f", "#1795a3", "#d1569b", "#a5774a")
RIGHT, WRONG = "#2c9a5d", "#d6493f"
ORACLE, PUBLIC, NEUTRAL = RIGHT, "#9a63d6", "#80868f"
"""The victim on unauthorised images; the public baseline; controls, floors and what is no method."""
INK = "#1c2126"
"""Of marks that belong to no line."""


class Symbol(NamedTuple):
    """A point: its character in a legend, and its name in matplotlib."""

    glyph: str
    matplotlib: str


class Dash(NamedTuple):
    """A line: its ``stroke-dasharray`` in a legend, and its name in matplotlib."""

    svg: str
    matplotlib: Literal["-", "--", ":", "-."]


SYMBOLS = {
    "circle": Symbol("●", "o"), "square": Symbol("■", "s"), "diamond": Symbol("◆", "D"),
    "triangle-up": Symbol("▲", "^"), "triangle-down": Symbol("▼", "v"), "cross": Symbol("✚", "P"),
    "x": Symbol("✖", "X"), "star": Symbol("★", "*"),
}  # fmt: skip
"""By the name in plotly."""
DASHES = {
    "solid": Dash("none", "-"), "dash": Dash("7 4", "--"), "dot": Dash("2 3", ":"), "dashdot": Dash("7 3 2 3", "-."),
}  # fmt: skip
"""By the name in plotly."""


def colour(i: int) -> str:
    """The colour of line ``i``; after eight they come again with another symbol and dash."""
    return COLOURS[i % len(COLOURS)]


def symbol(i: int) -> str:
    """The symbol of line ``i``, shifted each time that the colours come again."""
    return list(SYMBOLS)[(i + i // len(SYMBOLS)) % len(SYMBOLS)]


def dash(i: int) -> str:
    """The dash of line ``i``, another each time that the colours come again."""
    return list(DASHES)[i // len(COLOURS) % len(DASHES)]
