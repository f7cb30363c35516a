"""`bench gate` and `bench baseline`: exit statuses, and the files that CI reads on every exit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from example_worlds import World

from bench.store import Store
from reports.gate import rule

Place = tuple[Path, Callable[..., Any]]


def stored(world: World, root: Path) -> Path:
    store = Store(root)
    for record in world.records:
        store.put(record, world.evidence(record))  # type: ignore[arg-type]
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, bench: Callable[..., Any]) -> Path:
    place = tmp_path_factory.mktemp("gate")
    stored(World(range(8), 1), place / "base")
    stored(World((0, 1), 40), place / "same")
    stored(World((0, 1), 41, locks={"modellock": (88.0, 80.0)}), place / "worse")
    saved = bench("baseline", "save", "b.json", "--store", "base", cwd=place)
    assert saved.returncode == 0, saved.stderr
    text = (place / "b.json").read_text()
    (place / "cut.json").write_text(text[:-40])
    (place / "nan.json").write_text(text.replace('"LP": 2', '"LP": NaN, "UP": 2', 1))
    return place


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["b.json", "--candidate", "same"], 0, "held"),
        (["b.json", "--candidate", "same", "--must-see", "99"], 0, "held"),
        (["b.json", "--candidate", "same", "--must-see", "3"], 2, "3 must be seen"),
        (["b.json", "--candidate", "worse"], 1, "the lock holds less"),
        (["b.json", "--candidate", "worse", "--must-see", "3"], 1, "the lock holds less"),
        (["b.json", "--candidate", "same", "--seeds", "3"], 1, "seed 2 missing from the candidate"),
        (["b.json", "--candidate", "same", "--seeds", "8:10"], 2, "nothing with these seeds"),
        (["b.json", "--candidate", "same", "--seeds", "1"], 2, "the rule needs 2"),
        (["b.json", "--candidate", "same", "--seeds", "x"], 2, "--seeds"),
        (["b.json", "--candidate", "same", "--rate", "0"], 2, "--rate 0 is not allowed"),
        (["b.json", "--candidate", "same", "--must-see", "nan"], 2, "--must-see nan is not allowed"),
        (["b.json", "--candidate", "same", "--suite", "ci"], 2, "none of these rows"),
        (["b.json", "--candidate", "same", "--suite", "no-such"], 2, "no suite"),
        (["b.json", "--candidate", "nowhere"], 2, "no store at nowhere"),
        (["b.json", "--candidate", "same", "--plugin", "nowhere.py"], 2, "nowhere.py"),
        (["none.json", "--candidate", "same"], 2, "there is no snapshot at none.json"),
        (["cut.json", "--candidate", "same"], 2, "no JSON"),
        (["nan.json", "--candidate", "same"], 2, "NaN is no number"),
        (["base", "--candidate", "same"], 2, "it is a folder"),
    ],
)
def test_every_exit_leaves_junit_and_a_summary_with_the_reason(
    root: Path, tmp_path: Path, bench: Callable[..., Any], arguments: list[str], status: int, words: str
) -> None:
    xml, md = tmp_path / "gate.xml", tmp_path / "gate.md"
    xml.write_text("left by an earlier run")
    done = bench("gate", *arguments, "--junit", str(xml), "--summary", str(md), cwd=root)
    assert done.returncode == status, done.stdout + done.stderr
    assert "defect" not in done.stderr
    assert words in " ".join((done.stdout + done.stderr).split())
    assert words in xml.read_text()
    assert words in md.read_text()
    suite = ElementTree.parse(xml).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors")}
    assert counts["tests"] == len(suite.findall("testcase")) > 0
    assert counts["failures"] == len(suite.findall("testcase/failure"))
    assert counts["errors"] == len(suite.findall("testcase/error"))
    assert (counts["failures"] > 0, counts["errors"] > 0) == {
        0: (False, False), 1: (True, counts["errors"] > 0), 2: (False, True)
    }[status]  # fmt: skip


def test_what_nobody_expected_is_reported_too(
    root: Path, tmp_path: Path, bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(rule, "compare", broken)
    xml, md = tmp_path / "gate.xml", tmp_path / "gate.md"
    done = bench("gate", "b.json", "--candidate", "same", "--junit", str(xml), "--summary", str(md), cwd=root)
    assert done.returncode == 2
    assert "KeyError" in xml.read_text()
    assert "KeyError" in md.read_text()


def test_a_file_that_cannot_be_written_leaves_the_other(root: Path, tmp_path: Path, bench: Callable[..., Any]) -> None:
    md = tmp_path / "gate.md"
    for baseline in ("b.json", "cut.json"):
        done = bench("gate", baseline, "--candidate", "same", "--junit", str(tmp_path), "--summary", str(md), cwd=root)
        assert done.returncode == 2
        assert "cannot be written" in done.stderr
        assert md.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attacks": {("permuted-logits", "logit-surgery"): 40.0}}, "control permuted-logits failed: recovery"),
        ({"attacks": {("destroyed", "prompt-search"): 70.0}}, "control destroyed failed: advantage"),
        ({"victim": 10.0}, "control the victim failed: at the floor"),
    ],
)
def test_a_control_that_fails_is_no_held_and_no_baseline(
    root: Path, tmp_path: Path, bench: Callable[..., Any], change: dict[str, Any], words: str
) -> None:
    eight = stored(World(range(8), 1, **change), tmp_path / "eight")
    refused = bench("baseline", "save", str(tmp_path / "b.json"), "--store", str(eight), cwd=root)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not (tmp_path / "b.json").exists()
    two = stored(World((0, 1), 40, **change), tmp_path / "two")
    done = bench("gate", "b.json", "--candidate", str(two), cwd=root)
    assert done.returncode in (1, 2)  # it regressed as well
    assert words in " ".join(done.stdout.split())


def test_a_failed_control_alone_is_not_comparable(root: Path, tmp_path: Path, bench: Callable[..., Any]) -> None:
    """A baseline that an older version saved with the very fault: nothing regressed, and nothing is to be believed."""
    change = {"attacks": {("permuted-logits", "logit-surgery"): 40.0}}
    from reports.gate import snapshot

    eight, two = World(range(8), 1, **change), stored(World((0, 1), 40, **change), tmp_path / "two")  # type: ignore[arg-type]
    snapshot.write(snapshot.snapshot(eight.records, eight.evidence), tmp_path / "b.json")
    done = bench("gate", str(tmp_path / "b.json"), "--candidate", str(two), cwd=root)
    assert done.returncode == 2, done.stdout
    assert "NOT COMPARABLE: 0 of" in done.stdout


def test_the_remedy_of_a_baseline_names_its_own_seeds_suite_and_store(root: Path, bench: Callable[..., Any]) -> None:
    few = bench("baseline", "save", "x.json", "--store", "base", "--seeds", "4:12", cwd=root)
    assert few.returncode == 2
    assert "seed 8, 9, 10, 11" in few.stderr
    assert "--seeds 4:12" in few.stderr
    assert "--store base" in few.stderr
    lacking = bench("baseline", "save", "x.json", "--store", "base", "--suite", "ci-minute", cwd=root)
    assert lacking.returncode == 2
    assert "--suite ci-minute --seeds 0:8" in lacking.stderr


def test_a_run_warns_of_a_failed_control_and_keeps_its_exit_status(
    tmp_path: Path, bench: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    from rich.console import Console

    from bench.cli import console, run

    err = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(console, "err", err)
    monkeypatch.setattr(console, "out", Console(file=io.StringIO()))
    store = Store(stored(World((0, 1), 1, attacks={("permuted-logits", "logit-surgery"): 40.0}), tmp_path / "s"))
    run._show(store, store.records(), details=False)
    lines = err.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert lines[0].startswith("warning: control failed: permuted-logits (digits · vit · permuted-logits")


def test_baselines_of_the_repository_are_read(bench: Callable[..., Any]) -> None:
    from places import ROOT

    for file in sorted((ROOT / "baselines").glob("*.json")):
        assert bench("baseline", "show", str(file)).returncode == 0
