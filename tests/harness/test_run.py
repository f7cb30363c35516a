"""The command line end to end, on a small task of the test's own: resume, failure, denial, jobs, identity."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limits import HANGS
from places import PLUGINS

from bench.hashing import digest
from bench.records import Record
from bench.seeds import derive
from bench.store import Store

Bench = Callable[..., Any]
Arguments = Callable[..., list[str]]
FILES = [f"--plugin={PLUGINS / n}.py" for n in ("tint", "quick_lock", "nosy", "tiny")]
MEASURED = (
    "status",
    "UP",
    "LP",
    "LP_shipped",
    "RP",
    "oracle",
    "victim_authorised",
    "floor",
    "conditions",
    "authorised_after",
)


def _measured(record: Record) -> dict[str, Any]:
    values = record.model_dump()
    return {name: values[name] for name in MEASURED} | {"curve": [p["RP"] for p in values["curve"]]}


def _by_row(store: Path) -> dict[str, dict[str, Any]]:
    return {f"{r.row_key}/{r.cell.replicate}": _measured(r) for r in Store(store, write=False).records()}


def test_the_plan_is_measured_and_its_evidence_kept(real_store: Path) -> None:
    store = Store(real_store, write=False)
    records = {(r.cell.lock.name, r.cell.attack.name): r for r in store.records()}
    assert set(records) == {
        ("quick-lock", "logit-surgery"), ("quick-lock", "none"), ("none", "from-scratch"),
        ("destroyed", "logit-surgery"), ("permuted-logits", "logit-surgery"),
    }  # fmt: skip
    record = records["quick-lock", "logit-surgery"]
    assert record.status == "ok"
    assert record.meter is not None
    assert record.meter["labelled"] == 6
    assert record.lock_meter is not None
    assert record.lock_meter["seconds"] > 0
    assert record.lock_meter["forward_images"] is None, "what nobody counts is not 0"
    assert (record.extra_parameters, record.key_megabytes) == (8 + 1, 0.0), "one output more"
    shown = {c.name: c.what for c in record.conditions}
    assert set(shown) == {"right", "none", "setting/amount", "wrong/by-seed"}
    amount = derive("conditions", key=digest(record.key)) % 97 / 1000
    assert shown["wrong/by-seed"] == f"amount {amount}", "chosen by the key alone, so that no change of code moves it"
    assert record.defender_needs is not None
    assert record.defender_needs["unauthorised"] is True
    assert record.selection is not None
    assert record.selection.name == "leave-one-out-and-evidence"
    evidence = store.evidence(record)
    assert record.RP is not None
    assert 100 * float(np.mean(evidence["pred/RP"] == evidence["test_labels"])) == pytest.approx(
        record.RP.value, abs=1e-3
    )
    assert record.RP_validation is not None
    validated = evidence["pred/RP_validation"] == evidence["validation_labels"]
    assert 100 * float(np.mean(validated)) == pytest.approx(record.RP_validation.value, abs=1e-3)
    assert not set(evidence["validation_index"].tolist()) & set(evidence["test_index"].tolist())
    opened = records["permuted-logits", "logit-surgery"]
    assert opened.RP is not None
    assert opened.oracle is not None
    assert opened.RP.value == opened.oracle.value, "a renaming is undone fully"
    assert record.oracle == opened.oracle, "one victim for every lock"


def test_the_second_run_does_nothing_and_says_so(real_store: Path, small_run: Arguments, bench: Bench) -> None:
    before = {p: p.stat().st_mtime_ns for p in real_store.rglob("*") if p.is_file()}
    got = bench(*small_run(real_store))
    assert got.returncode == 0
    assert "nothing to do: all 6 cells" in got.stdout
    assert {p: p.stat().st_mtime_ns for p in real_store.rglob("*") if p.is_file()} == before


def test_status_why_and_report_read_the_store(real_store: Path, bench: Bench, tmp_path: Path) -> None:
    got = bench("status", "--store", str(real_store))
    assert got.returncode == 0
    assert "6 ok" in got.stdout
    hash = next(r.hash for r in Store(real_store, write=False).records() if r.cell.attack.name == "from-scratch")
    why = bench("why", hash[:8], "--store", str(real_store), *FILES)
    assert why.returncode == 0
    assert "unchanged" in why.stdout
    empty = bench("report", "--suite", "quick", "--lock", "no-such-lock", "--store", str(real_store))
    assert empty.returncode == 2
    assert "nothing of suite" in empty.stderr
    report = bench("report", "--format", "json", "--store", str(real_store))
    rows = json.loads(report.stdout)
    assert len(rows) == 6
    for format in ("md", "csv", "latex"):
        got = bench("report", "--format", format, "--store", str(real_store), "--out", str(tmp_path / format))
        assert got.returncode == 0, got.stderr
    assert list((tmp_path / "md").glob("*.png"))


def test_the_same_seeds_give_the_same_numbers_whatever_the_jobs(
    real_store: Path, small_run: Arguments, bench: Bench, tmp_path: Path
) -> None:
    got = bench(*small_run(tmp_path / "s", "--jobs", "2"))
    assert got.returncode == 0, got.stderr
    assert _by_row(tmp_path / "s") == _by_row(real_store)


def test_killed_and_two_at_once_and_resumed(
    real_store: Path, small_run: Arguments, bench: Bench, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    command = [sys.executable, "-m", "bench.cli", *small_run(store)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    first = subprocess.Popen(command, **quiet)
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline and not list(store.glob("artefacts/victim/*")):
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert list(store.glob("artefacts/victim/*")), "the victim was finished before the kill"
    assert len(list(store.glob("records/*"))) < 6
    beside = subprocess.Popen(command, **quiet)
    got = bench(*small_run(store))
    assert beside.wait(HANGS) == 0
    assert got.returncode == 0, got.stderr
    assert _by_row(store) == _by_row(real_store)
    assert bench(*small_run(store)).stdout.count("nothing to do") == 1


def test_a_failing_cell_is_recorded_the_others_finish_and_it_is_tried_again(
    small_run: Arguments, bench: Bench, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    arguments = small_run(store, "-p", "lock.fail=true")
    got = bench(*arguments)
    assert got.returncode == 1
    assert "this lock fails on request" in got.stderr
    records = Store(store, write=False).records()
    assert {r.status for r in records if r.cell.lock.name == "quick-lock"} == {"failed"}
    assert {r.status for r in records if r.cell.lock.name != "quick-lock"} == {"ok"}
    assert "failed" in bench("status", "--store", str(store)).stdout
    again = bench(*arguments)
    assert again.returncode == 1
    assert "nothing to do" not in again.stdout


def test_a_denied_attack_is_invalid_even_if_it_swallows_the_denial(
    small_task: str, bench: Bench, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    base = ["run", "--lock", "none", "--attack", "nosy", "--task", small_task, "--model", "tiny", "--threads", "1"]
    base += ["-p", "task.size=16"]
    files = [f"--plugin={n}.py" for n in ("tint", "quick_lock", "nosy", "tiny")]  # relative to where the command is run
    chosen = ["-p", "attack.ask=classifier", "-p", "lock.key=tint", "--store", str(store)]
    got = bench(*base, *chosen, *files, cwd=PLUGINS)
    assert got.returncode == 1, "no result is no success"
    (record,) = [r for r in Store(store, write=False).records() if r.cell.attack.name == "nosy"]
    assert record.status == "invalid"
    assert record.RP is None
    assert [f.name for f in record.flags if f.name == "attack-denied"]


def test_tuning_seeds_are_judged_on_judge_validation_images() -> None:
    from bench import seeds
    from bench.datasets.scenario import load
    from bench.harness.judge import Judge
    from bench.keys.none import Identity

    scenario = load("digits", seeds.TUNING_FROM)
    judge = Judge(scenario, Identity(), "judge-validation")
    assert not set(judge.index.tolist()) & set(scenario.authorised.splits.test.tolist())
