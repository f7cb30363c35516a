"""`bench prompts` over a made-up store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_records import exactly, record

from bench.store import Store

Bench = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    opened = Store(tmp_path / "s")
    for i, concept in enumerate(("oil pastel", "zebra", "highlights")):
        one = record(attack="none", RP=None, LP=30.0 + i, UP=exactly(90.0))
        one.cell.key.explicit = {"prompt": f"with {concept}", "key_choice": "fixed"}
        one.row_key = one.cell.row_key()
        one.provenance.hash = f"{i:03x}abcdef{'0' * 11}"
        opened.put(one, {})
    return opened.root


def test_prompts_stand_beside_print_and_are_kept(bench: Bench, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "edit.json"
    done = bench("prompts", "--store", str(store), "--keep", str(file))
    assert done.returncode == 0, done.stderr
    assert "| digits, vit | object | zebra | 1 | 90.0 | 31.0 | 91.0 | 82.9 | 10.8 |" in done.stdout
    lines = json.loads(file.read_text(encoding="utf-8"))["lines"]
    means = "styles 30 (UP 90), photo adjustments 32 (UP 90), objects 31 (UP 90)"
    assert lines == [f"digits, vit: mean LP of {means}; 3 prompts, seeds: 1"]


def test_a_store_without_fixed_prompts_and_a_file_that_is_none_are_refused(
    bench: Bench, store: Path, tmp_path: Path
) -> None:
    Store(tmp_path / "empty")
    done = bench("prompts", "--store", str(tmp_path / "empty"))
    assert done.returncode == 2
    assert "bench run --suite prompts" in done.stderr
    done = bench("prompts", "--store", str(store), "--sizes", str(tmp_path / "no.csv"))
    assert done.returncode == 2
    assert "bench edit-sizes" in done.stderr
