"""The colours, symbols and dashes of every chart, on the page and in files.

Every colour has enough contrast on light and on dark paper. No line or point is told apart by colour alone.
"""

from __future__ import annotations

from typing import NamedTuple

BLUE, ORANGE, GREEN, PURPLE, RED = "#3d7edb", "#cf6a17", "#2c9a5d", "#9a63d6", "#d6493f"
GREY = "#80868f"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, "#1795a3", "#d1569b", "#a5774a")
"""Of series, in their order."""
INK, SOFT, LINE, GOOD, BAD = "#1c2126", "#5a6470", "#dcdfe3", "#1d6b3c", "#b3261e"
"""Of text, secondary text, grids, right and wrong on light paper: as in ``templates/page.css``."""


class Symbol(NamedTuple):
    """A point's shape as plotly names it, as matplotlib names it, and as a character of a legend."""

    name: str
    marker: str
    glyph: str


SYMBOLS = (
    Symbol("circle", "o", "●"),
    Symbol("square", "s", "■"),
    Symbol("diamond", "D", "◆"),
    Symbol("triangle-up", "^", "▲"),
    Symbol("triangle-down", "v", "▼"),
    Symbol("cross", "P", "✚"),
    Symbol("x", "X", "✖"),
    Symbol("star", "*", "★"),
)
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
"""As plotly names them -> as matplotlib does."""


class Style(NamedTuple):
    """The look of a line or of points: a symbol of `SYMBOLS` or none, a dash of `DASHES` or none."""

    colour: str
    symbol: Symbol | None = None
    dash: str = ""


ORACLE = Style(GREEN, dash="dot")
PUBLIC = Style(PURPLE, dash="dash")
LOCKED = Style(RED, dash="dashdot")
FLOOR = Style(GREY, dash="dash")
FRONT = Style(GREY, dash="dot")
RETURNED = Style(ORANGE, SYMBOLS[2])
RIGHT_KEY = Style(GREEN, SYMBOLS[1])
OTHER_KEY = Style(BLUE, SYMBOLS[1])


def style(i: int, control: bool = False, line: bool = True) -> Style:
    """The look of the ``i``-th series: after eight the colours come again with other symbols and dashes.

    Args:
        i: from 0.
        control: grey, told apart by symbol and dash alone.
        line: with a dash.
    """
    n = len(COLOURS)
    dashes = list(DASHES)
    dash = dashes[(i if control else i // n) % len(dashes)] if line else ""
    return Style(GREY if control else COLOURS[i % n], SYMBOLS[(i + i // n) % n], dash)
