"""Text of what a terminal can show."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from bench.legible import visible
from reports.text.escaping import ascii_text


@dataclass(frozen=True)
class Letters:
    """Makes text of what a terminal can show: nothing invisible, and ASCII before the layout where it has no more."""

    ascii: bool

    def __call__(self, words: str, style: str = "") -> Text:
        """``words`` as they are, without markup."""
        shown = visible(words, keep="\n")
        return Text(ascii_text(shown) if self.ascii else shown, style=style, overflow="fold")

    def joined(self, *parts: tuple[str, str]) -> Text:
        """Words with their styles, one after another."""
        out = Text(overflow="fold")
        for words, style in parts:
            out.append_text(self(words, style))
        return out
