"""`bench status`: how many records there are of each state, and the newest of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_stores import filled, small_record

Bench = Callable[..., Any]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r"[0-9a-f]{10} ", line)]


def test_the_newest_are_shown_and_all_are_counted(tmp_path: Path, bench: Bench) -> None:
    store = filled(tmp_path / "s", 5)
    store.put(small_record(6, status="failed", error="it broke"), {})
    newest = [record.hash[:10] for record in store.records()]
    got = bench("status", "--store", str(store.root), "--last", "2", columns=4000)
    assert [line[:10] for line in _lines(got.stdout)] == newest[-2:]
    assert "2 of 6 shown, the newest last; every one: --all" in got.stdout
    assert "5 ok, 1 failed" in got.stdout
    every = bench("status", "--store", str(store.root), "--last", "2", "--all", columns=4000)
    assert [line[:10] for line in _lines(every.stdout)] == newest
    assert "shown" not in every.stdout


def test_of_a_suite_what_is_to_do_comes_first(tmp_path: Path, bench: Bench) -> None:
    suite = tmp_path / "small.toml"
    suite.write_text(
        '[[row]]\nlocks = ["modellock"]\nattacks = ["none"]\ntasks = ["digits"]\nmodels = ["vit"]\nseeds = 3\n'
    )
    store = filled(tmp_path / "s", 1)
    got = bench("status", "--suite", str(suite), "--store", str(store.root), "--last", "2", columns=4000)
    assert [line.split()[-2:] for line in _lines(got.stdout)] == [["not", "measured"]] * 2
    assert re.search(r"2 of \d+ shown, what is to do first", got.stdout)


def test_what_was_imported_is_not_done(tmp_path: Path, bench: Bench) -> None:
    store = filled(tmp_path / "s", 1)
    store.put(small_record(6, third_party="theirs.zip"), {})
    got = bench("status", "--store", str(store.root), columns=4000)
    assert "1 ok, 1 ok (third-party)" in got.stdout
