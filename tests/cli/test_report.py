"""`bench report` narrowed by lock, attack, task and model; `bench show` of a record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_records import record, world

from bench.store import Store

Bench = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "s"
    opened = Store(folder)
    made = [*world((80.0, 61.0), (30.0, 24.0)), record("ntl", "finetune", RP=50.0)]
    made += [record("ntl", scenario="shapes"), record("ntl", "finetune", 1000, split="judge-validation")]
    failed = record("map", RP=None, status="failed", error="ValueError: no [b]such[/] thing (my_lock.py, line 7)")
    failed.traceback = "Traceback (most recent call last):\n  File my_lock.py, line 7\nValueError: no thing"
    for i, r in enumerate([*made, failed]):
        r.provenance.hash = f"{i:03x}abcdef{'0' * 11}"
        opened.put(r, {})
    return folder


def _rows(bench: Bench, store: Path, *options: str) -> list[dict[str, str]]:
    done = bench("report", "--format", "csv", "--store", str(store), *options)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def _methods(lines: list[dict[str, str]]) -> set[tuple[str, str, str]]:
    return {(x["lock"], x["attack"], x["scenario"]) for x in lines if x["verdict"] != "control"}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--lock", "modellock"], {("modellock", "prompt-search", "digits")}),
        (["--attack", "finetune"], {("ntl", "finetune", "digits")}),
        (["--task", "shapes"], {("ntl", "prompt-search", "shapes")}),
        (["--lock", "ntl", "--task", "digits"], {("ntl", "finetune", "digits")}),
        (
            ["--lock", "ntl", "--lock", "map", "--model", "vit"],
            {("ntl", "finetune", "digits"), ("ntl", "prompt-search", "shapes"), ("map", "prompt-search", "digits")},
        ),
    ],
)
def test_filters_narrow_rows_and_keep_their_controls(
    options: list[str], left: set[tuple[str, str, str]], bench: Bench, store: Path
) -> None:
    lines = _rows(bench, store, *options)
    assert _methods(lines) == left
    controls = {x["lock"] for x in lines if x["verdict"] == "control"}
    assert controls == ({"none", "destroyed", "permuted-logits"} if any(x[2] == "digits" for x in left) else set())


def test_numbers_do_not_hang_on_a_filter(bench: Bench, store: Path) -> None:
    whole = {line["row_key"]: line for line in _rows(bench, store)}
    for line in _rows(bench, store, "--lock", "modellock"):
        assert line == whole[line["row_key"]]


@pytest.mark.parametrize("where", ["md", "json", "latex", "terminal", "--html", "--out", "--suite"])
def test_filters_go_with_every_format(where: str, bench: Bench, store: Path, tmp_path: Path) -> None:
    options = {
        "--html": ["--html", str(tmp_path / "x")], "--out": ["--out", str(tmp_path / "x")],
        "--suite": ["--suite", "quick"],
    }.get(where, ["--format", where])  # fmt: skip
    done = bench("report", *options, "--lock", "modellock", "--store", str(store))
    assert done.returncode == 0, done.stderr
    text = done.stdout
    if where in ("--html", "--out"):
        text = "".join(f.read_text() for f in (tmp_path / "x").iterdir() if f.suffix == ".md" or f.name == "index.html")
    assert "modellock" in text
    assert "finetune" not in text.replace("Selection", "") or where == "--suite"
    assert "map (edit)" not in text


@pytest.mark.parametrize("options", [[], ["--format", "json"], ["--html", "x"], ["--out", "x"], ["--tuning"]])
def test_a_filter_that_matches_nothing_says_what_there_is(
    options: list[str], bench: Bench, store: Path, tmp_path: Path
) -> None:
    done = bench("report", *options, "--lock", "nobody", "--store", str(store), cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing here has --lock nobody." in done.stderr
    assert "lock: " in done.stderr
    assert "ntl" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_tuning_narrows_too(bench: Bench, store: Path) -> None:
    done = bench("report", "--tuning", "--format", "json", "--lock", "ntl", "--store", str(store))
    assert {line["place"] for line in json.loads(done.stdout)} == {"ntl (digits, edit)"}


class TestShow:
    def test_a_record(self, bench: Bench, store: Path) -> None:
        done = bench("show", "000abc", "--store", str(store))
        assert done.returncode == 0, done.stderr
        for words in ("modellock (edit) × prompt-search", "status: ok", "RP", "80.0", "[78.0, 82.0]", "floor"):
            assert words in done.stdout

    def test_a_failed_record_with_its_traceback_and_log(self, bench: Bench, store: Path) -> None:
        (folder,) = [f for f in (store / "records").iterdir() if '"failed"' in (f / "record.json").read_text()]
        done = bench("show", folder.name[:8], "--store", str(store))
        assert "ValueError: no [b]such[/] thing (my_lock.py, line 7)" in done.stdout
        assert "  File my_lock.py, line 7" in done.stdout
        assert "log.txt" not in done.stdout
        (folder / "log.txt").write_bytes(b"".join(b"line %d \x1b[31m\xff\n" % i for i in range(500)))
        done = bench("show", folder.name[:8], "--store", str(store))
        (folder / "log.txt").unlink()
        assert "(the last 200 of 500 lines)" in done.stdout
        assert "line 499 \\x1b[31m\\xff" in done.stdout
        assert "line 299 " not in done.stdout
        assert "\x1b" not in done.stdout

    @pytest.mark.parametrize(
        ("start", "message"),
        [("ffffff", "no record of"), ("00", "at least 6 digits of its hash"), ("nobody", "no lock, attack or key")],
    )
    def test_no_such_record(self, start: str, message: str, bench: Bench, store: Path) -> None:
        done = bench("show", start, "--store", str(store))
        assert done.returncode == 2
        assert message in done.stderr

    def test_several_records(self, bench: Bench, store: Path, tmp_path: Path) -> None:
        opened = Store(tmp_path / "s")
        for i in range(2):
            r = record(replicate=i)
            r.provenance.hash = f"abcdef{i}"
            opened.put(r, {})
        done = bench("show", "abcdef", "--store", str(tmp_path / "s"))
        assert done.returncode == 2
        assert "2 records start with 'abcdef': abcdef0, abcdef1." in done.stderr
