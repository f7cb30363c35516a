"""What of a model's reply counts: concepts, and nothing else. A reply is data, whatever it says to do."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

from bench.editors.vocabulary import KEY_TEMPLATE, normalise

LONGEST = 48
"""Characters of a concept; the longest of the public word lists has 22."""
WORDS = 6
"""Words of a concept."""
MOST_READ = 1000
"""Candidates of a reply that are looked at."""
_CONCEPT = re.compile(r"[^\W_]+(?:(?: |-|'|’| & )[^\W_]+)*")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\\n]|\\.){1,200})"')
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+")
_ARTICLE = KEY_TEMPLATE.format("")


def concepts(text: str, most: int) -> list[str]:
    """At most ``most`` concepts that ``text`` names, in its order, in lower case, each once.

    A concept is one to `WORDS` words of letters and digits of any script, joined by blanks, hyphens, apostrophes or
    “&”. Sentences, addresses, markup and code are none. The text is an array of JSON, or a list of lines.
    """
    out: dict[str, str] = {}
    for i, candidate in enumerate(_candidates(_THOUGHT.sub("", text))):
        if i >= MOST_READ or len(out) >= most:
            break
        concept = _concept(candidate)
        if concept is not None:
            out.setdefault(normalise(concept), concept)
    return list(out.values())[:most]


def _concept(candidate: str) -> str | None:
    """``candidate`` as a concept; None where it is none."""
    if len(candidate) > 4 * LONGEST:
        return None
    concept = " ".join(unicodedata.normalize("NFC", candidate).split()).lower().removeprefix(_ARTICLE)
    if not 0 < len(concept) <= LONGEST or not concept.isprintable() or not _CONCEPT.fullmatch(concept):
        return None
    return concept if normalise(concept) and len(concept.split()) <= WORDS else None


def _candidates(text: str) -> Iterator[str]:
    """The strings of the array in ``text``; where there is none, its lines."""
    start, end = text.find("["), text.rfind("]")
    if start >= 0:
        try:
            value = json.loads(text[start : end + 1])
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))
            return
        if strings := _STRING.findall(text[start:]):  # an array that was cut, or has words around it
            yield from strings
            return
    yield from _lines(text)


def _lines(text: str) -> Iterator[str]:
    """The items of a list of lines; one line alone, without a bullet, is a sentence and no list."""
    lines = [line for line in text.splitlines()[: 4 * MOST_READ] if line.strip()]
    items = [(_BULLET.match(line), _BULLET.sub("", line, count=1).strip(" \t\"'“”*_,;")) for line in lines]
    named = [(bullet, item) for bullet, item in items if _concept(item) is not None]
    if len(named) == 1 and named[0][0] is None:
        return
    yield from (item for _, item in named)
