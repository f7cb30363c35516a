"""Text of strangers made legible: nothing invisible, nothing endless, no two texts alike. No torch here.

Names, values, errors and notes come from users, plugins, data and records. What prints them calls these first.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
"""Unicode categories that steer a terminal or a reader's eye, or have no shape: controls, direction marks, joiners,
surrogates, code points without a meaning."""
_PLAIN = re.compile(r"""[^\s\[\]"\\,=·×()]+(?: [^\s\[\]"\\,=·×()]+)*""")
_DIGITS = 8


def visible(text: str, keep: str = "") -> str:
    """``text`` with every character that does not show written as an escape: ``\\x1b``, ``\\u202e``.

    Args:
        text: any; a lone surrogate, as of a file name that is no UTF-8, is escaped too.
        keep: characters to leave, such as line ends.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _INVISIBLE else escaped(c) for c in text)


def is_visible(text: str) -> bool:
    """Whether every character of ``text`` shows, or is a space."""
    return visible(text) == text


def escaped(character: str) -> str:
    """A character as an escape of ASCII letters: ``\\n``, ``\\u202e``."""
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    code = ord(character)
    form = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return short.get(character, form)


def shortened(text: str, most: int) -> str:
    """``text``, or its start and a digest of the whole where it has more than ``most`` characters."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{text[: max(0, most - _DIGITS - 1)]}…{digest}"


def cut(text: str, most: int) -> str:
    """``text``, its middle left out where it has more than ``most`` characters: both ends of an error tell."""
    if len(text) <= most:
        return text
    gap = f" … ({len(text):,} characters) … "
    half = max(0, most - len(gap)) // 2
    return f"{text[:half]}{gap}{text[len(text) - half :]}"


def quoted(text: str) -> str:
    """``text`` as it is where it cannot be mistaken for what stands around it, else as a JSON string.

    Two texts never give the same: brackets, commas, odd spaces and what does not show are inside quotes.
    """
    if _PLAIN.fullmatch(text) and visible(text) == text:
        return text
    inside = json.dumps(text, ensure_ascii=False)
    return re.sub(r"(?<= ) |[^\S ]", lambda m: escaped(m[0]), visible(inside))
