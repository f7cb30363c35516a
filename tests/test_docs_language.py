"""The language of the docs: short sentences, and nouns for names. Code blocks and tables are left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import DOCS, ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LONGEST = 30
"""Words in a sentence; what stands in backticks counts as one, and symbols of a formula as none."""
WORD = re.compile(r"[^\W_]{2}|^[aAI]$")
PARTICIPLES = "told|said|made|held|asked"
AS_NOUN = re.compile(
    rf"\b(?:unless|than|the|a|an|its|their|every|each|no|of) (?:{PARTICIPLES})\b(?! (?:apart|up|on)\b)", re.I
)
AS_NAME = re.compile(rf"(?m)^\s*(?:{PARTICIPLES})\s*(?:=|:=|,)")


def _prose(text: str) -> list[str]:
    """The paragraphs and list items of a page, without code blocks, tables and headings."""
    text = re.sub(r"```.*?```|~~~.*?~~~|<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    blocks: list[str] = [""]
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("|", "#", ":::")):
            blocks.append("")
        elif re.match(r"\s*(?:[-*]|\d+\.) ", line):
            blocks.append(re.sub(r"^\s*(?:[-*]|\d+\.) ", "", line))
        else:
            blocks[-1] += " " + line.strip()
    return [block.strip() for block in blocks if block.strip()]


def _sentences(block: str) -> list[str]:
    block = re.sub(r"`[^`]*`", "code", block)
    block = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", block)
    return re.split(r"(?<=[.!?])[\"”'’)*]*\s+", block)


def _words(sentence: str) -> int:
    return sum(bool(WORD.search(token)) for token in sentence.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_sentence_is_longer_than_30_words(page: Path) -> None:
    found = [s for block in _prose(page.read_text(encoding="utf-8")) for s in _sentences(block)]
    long = [s for s in found if _words(s) > LONGEST]
    assert not long, "\n".join(f"{_words(s)} words: {s}" for s in long)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_participle_stands_for_a_noun(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = [AS_NOUN.search(block) for block in _prose(text)]
    code = [AS_NAME.search(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert not [match[0].strip() for match in (*found, *code) if match]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two `a. b. c`, three!", 2),
        ("| a table. with. dots. |\n\nOne.", 1),
        ("- An item.\n- Another [one. two](x.md).", 3),
        ("```sh\nno. sentence. here.\n```", 0),
    ],
)
def test_sentences_are_found(text: str, sentences: int) -> None:
    assert sum(len(_sentences(block)) for block in _prose(text)) == sentences


def test_what_is_too_long_is_found() -> None:
    assert _words(_sentences(" ".join(["word"] * 31) + ".")[0]) > LONGEST
    assert _words("KL_s − λ min(x, y), a cap") == 4
    assert AS_NOUN.search("32 pixels unless told")
    assert AS_NAME.search("    made = run.artefact()")
    assert not AS_NOUN.search("rows are told apart by it")
