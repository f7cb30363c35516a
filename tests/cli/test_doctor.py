"""`bench doctor`, and what every command does beside damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import edit
from small_stores import filled, small_record

from bench.records import SCHEMA
from bench.store import Store, sums

Bench = Callable[..., Any]


def _ill(root: Path) -> Store:
    """A store with one of everything that is to be put right, and one record in order."""
    store = filled(root, 3)
    first, second, _ = store.records()
    (root / "records" / first.hash / "record.json").write_text("{")
    (root / "records" / second.hash / "sums.json").unlink()
    store.put(small_record(7, status="failed", error="RuntimeError: \x1b[31mred"), {})
    for hash in ("a" * 20, "b" * 20):
        with store.making("victim", hash) as part:
            assert part is not None
            (part / "value.json").write_text("{}")
    (store.artefact("victim", "b" * 20) / "value.json").write_text("{")
    (root / "artefacts" / ".DS_Store").write_text("x")
    (root / "tmp" / ("c" * 32)).mkdir()
    return Store(root, write=False)


def _one_of_a_newer_version(root: Path, change: dict[str, Any]) -> tuple[str, str, str]:
    """A store with one record that a newer version wrote: its hash, and the kind and hash of the artefact it names."""
    store = filled(root, 1)
    (record,) = store.records()
    ((kind, parent),) = record.provenance.parents.items()
    with store.making(kind, parent) as part:
        assert part is not None
        (part / "value.json").write_text("{}")
    edit(root / "records" / record.hash / "record.json", **change)
    sums.write(root / "records" / record.hash)
    return record.hash, kind, parent


KINDS = ("damaged record", "failed record", "damaged artefact", "orphaned artefact", "stray", "leftover")


def test_a_healthy_store(bench: Bench, tmp_path: Path) -> None:
    filled(tmp_path / "s")
    done = bench("doctor", "--store", str(tmp_path / "s"))
    assert done.returncode == 0
    assert "2 records in order, nothing to put right" in done.stdout


def test_it_says_whether_a_language_model_can_be_asked(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "s")
    monkeypatch.delenv("LOCKBENCH_LLM_URL", raising=False)
    assert "language model: none is set" in bench("doctor", "--store", str(tmp_path / "s")).stdout
    monkeypatch.setenv("LOCKBENCH_LLM_URL", "http://localhost:1/v1?token=secret")
    monkeypatch.setenv("LOCKBENCH_LLM_MODEL", "m-7b")
    shown = bench("doctor", "--store", str(tmp_path / "s")).stdout
    assert "language model: m-7b at http://localhost:1, without a key" in shown
    assert "secret" not in shown


def test_what_is_found_is_listed_then_put_right(bench: Bench, tmp_path: Path) -> None:
    _ill(tmp_path / "s")
    found = bench("doctor", "--store", str(tmp_path / "s"))
    assert found.returncode == 1
    assert all(found.stdout.count(kind) >= 1 for kind in KINDS), found.stdout
    assert "1 record in order" not in found.stdout
    assert "\\x1b[31m" in found.stdout
    assert "\x1b" not in found.stdout
    fixed = bench("doctor", "--fix", "--store", str(tmp_path / "s"))
    assert fixed.returncode == 0, fixed.stdout
    assert all(kind in fixed.stdout for kind in KINDS)
    again = bench("doctor", "--store", str(tmp_path / "s"))
    assert again.returncode == 0, again.stdout
    assert "1 record in order, nothing to put right" in again.stdout
    assert "set aside" in again.stdout
    names = sorted(p.name.rpartition(".")[0] for p in (tmp_path / "s" / "damaged").iterdir())
    assert len(names) == 4
    assert any(name.startswith("artefacts-.DS_Store") for name in names)


@pytest.mark.parametrize("change", [{"mood": "fine"}, {"schema_version": SCHEMA + 1}])
def test_a_record_of_a_newer_version_stays_with_its_artefacts(
    change: dict[str, Any], bench: Bench, tmp_path: Path
) -> None:
    hash, kind, parent = _one_of_a_newer_version(tmp_path / "s", change)
    fixed = bench("doctor", "--fix", "--store", str(tmp_path / "s"))
    assert fixed.returncode == 1
    assert "record of another version" in fixed.stdout
    assert "kept" in fixed.stdout
    assert "nothing to put right" in fixed.stdout
    assert "1 of another version, kept: read with the version of LockBench that wrote it" in fixed.stdout
    assert "bench doctor --fix" not in bench("doctor", "--store", str(tmp_path / "s")).stdout
    assert (tmp_path / "s" / "records" / hash).is_dir()
    assert (tmp_path / "s" / "artefacts" / kind / parent).is_dir()


def test_a_store_that_a_run_uses_is_not_repaired(bench: Bench, tmp_path: Path) -> None:
    _ill(tmp_path / "s")
    running = Store(tmp_path / "s")
    done = bench("doctor", "--fix", "--store", str(tmp_path / "s"))
    assert done.returncode == 2
    assert "a run is at work" in done.stderr
    assert running.damaged()


def test_records_that_older_code_wrote_are_counted(bench: Bench, tmp_path: Path) -> None:
    filled(tmp_path / "s")
    (tmp_path / "s" / "lockbench.json").write_text(json.dumps({"schema": SCHEMA}))
    for file in (tmp_path / "s").glob("records/*/sums.json"):
        file.unlink()
    done = bench("doctor", "--store", str(tmp_path / "s"))
    assert done.returncode == 0
    assert "2 of them have no checksum" in done.stdout


def _spoil(store: Path) -> str:
    """Damage a record, leave strays; the hash of the record."""
    (store / "records" / ".DS_Store").write_text("x")
    (store / "artefacts" / "notes.txt").write_text("x")
    hash = next(r.hash for r in Store(store, write=False).records() if r.cell.lock.name == "destroyed")
    file = store / "records" / hash / "record.json"
    file.write_bytes(file.read_bytes()[:200])
    return hash


@pytest.mark.parametrize(
    "command",
    [
        ("status", "--store", "STORE"),
        ("report", "--store", "STORE"),
        ("report", "--store", "STORE", "--format", "csv"),
        ("report", "--store", "STORE", "--out", "OUT"),
        ("report", "--store", "STORE", "--html", "OUT"),
        ("report", "--store", "STORE", "--tuning"),
        ("ownership", "--store", "STORE"),
        ("compare", "STORE", "STORE"),
        ("key-grid", "--store", "STORE", "--lock", "quick-lock"),
        ("gate", "baselines/ci.json", "--candidate", "STORE"),
        ("baseline", "save", "OUT", "--store", "STORE"),
        ("export", "STORE", "OUT"),
        ("why", "a", "--store", "STORE"),
        ("false-alarms", "STORE"),
    ],
)
def test_damage_stops_no_command(command: tuple[str, ...], bench: Bench, store_copy: Path, tmp_path: Path) -> None:
    places = {"STORE": str(store_copy), "OUT": str(tmp_path / "out")}
    before = bench(*(places.get(word, word) for word in command))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    hash = _spoil(store_copy)
    after = bench(*(places.get(word, word) for word in command))
    assert after.returncode == before.returncode, after.stderr
    assert "defect" not in after.stderr
    assert after.stderr.count(hash) == (2 if command[0] == "compare" else 1), after.stderr
    if command[0] == "export":
        assert "left out, since it is damaged" in after.stderr
        assert f"{len(Store(store_copy, write=False).records())} records" in after.stdout


def test_a_run_makes_what_is_damaged_again(bench: Bench, small_run: Callable[..., list[str]], store_copy: Path) -> None:
    whole = {r.hash: r.RP for r in Store(store_copy, write=False).records()}
    hash = _spoil(store_copy)
    weights = next((store_copy / "artefacts" / "protected").glob("*/classifier.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    for file in (store_copy / "artefacts" / "unlocked").glob("*/output.json"):
        file.unlink()
    weights.write_bytes(bytes(content))
    assert bench("status", "--store", str(store_copy)).stderr.count(hash) == 1
    done = bench(*small_run(store_copy))
    assert done.returncode == 0, done.stderr
    assert f"1 damaged record left out: {hash}" in done.stderr
    assert "output.json is missing" in done.stderr
    assert {r.hash: r.RP for r in Store(store_copy, write=False).records()} == whole


def test_load_records_leaves_out_what_is_damaged(store_copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    import bench

    n = len(bench.load_records(store_copy))
    hash = _spoil(store_copy)
    frame = bench.load_records(store_copy)
    assert len(frame) == n - 1
    assert hash not in set(frame["hash"])
    assert hash in caplog.text
