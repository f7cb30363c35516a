"""Lines of text folded to a width without breaking a number or, where it can be helped, a word."""

from __future__ import annotations

import re


def fold(text: str, width: int, indent: str = "") -> str:
    """``text`` in lines of at most ``width``, those after the first with ``indent``.

    Broken after a space, a comma or =, after a hyphen or dot before a letter, and before [; elsewhere only where a
    piece alone is over ``width``. An indent takes at most half of the width.
    """
    width = max(1, width)
    indent = indent[: width // 2]
    lines = [""]
    for piece in re.split(r"(?<=[=, ])|(?<=\w[-.])(?=[a-z])|(?=\[)", text):
        while len(lines[-1] + piece.rstrip()) > width:
            if not lines[-1].strip():
                room = max(0, width - len(lines[-1]))  # blanks at the start may fill the line
                lines[-1], piece = lines[-1] + piece[:room], piece[room:]
            lines.append(indent)
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
