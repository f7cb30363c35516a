"""The first page: short, with the picture, five words, two commands, and the demo's output in its shape."""

from __future__ import annotations

import re

import pytest
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST, _, REST = README.partition("\n## Documentation\n")
OUTPUT = re.search(r"<!-- demo output -->\n```text\n(.*?)```\n<!-- /demo output -->", README, re.DOTALL)


def test_at_most_500_words_stand_before_the_table_of_docs() -> None:
    assert REST.lstrip().startswith("| ")
    visible = re.sub(r"<!--.*?-->", "", FIRST)
    assert len(visible.split()) <= 500


def test_the_picture_of_a_locked_model_is_there() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", FIRST)
    assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("word", ["key", "UP", "LP", "RP", "public baseline"])
def test_the_five_words_are_defined(word: str) -> None:
    assert f"\n| {word} | " in FIRST


@pytest.mark.parametrize("command", ["make demo", "make test", "bench new lock", "bench audit", "bench gate"])
def test_the_commands_of_each_user_are_there(command: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", FIRST, re.DOTALL)
    assert any(line.startswith(command) for block in blocks for line in block.splitlines())


def test_the_output_of_the_demo_fits_80_columns_and_names_its_columns() -> None:
    assert OUTPUT is not None
    lines = OUTPUT[1].splitlines()
    assert all(len(line) <= 80 for line in lines)
    for word in ("modellock", "prompt-search", "UP", "LP", "RP", "baseline", "destroyed", "permuted-logits"):
        assert word in OUTPUT[1], word
