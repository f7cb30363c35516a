"""The store: atomic, shared by several processes, clear where it cannot be written."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bench import plan
from bench.errors import UserError
from bench.records import Measured, Provenance, Record
from bench.store import Store
from reports.rows.aggregate import current


def _record(hash: str = "a" * 20, **more: object) -> Record:
    cell = plan.make_cell("modellock", "none", "digits", "vit", {})
    return Record(cell=cell, row_key=cell.row_key(), provenance=Provenance(hash=hash), **more)  # type: ignore[arg-type]


def test_a_record_comes_back_with_its_evidence(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    record = _record(RP=Measured(value=12.5, n=8))
    store.put(record, {"pred/RP": np.arange(8)})
    assert store.get(record.hash) == record
    assert store.records() == [record]
    assert np.array_equal(store.evidence(record)["pred/RP"], np.arange(8))
    assert store.get("b" * 20) is None


def test_a_record_is_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.put(_record(status="failed", error="x"), {})
    store.put(_record(), {"pred/RP": np.ones(2)})
    (only,) = store.records()
    assert only.status == "ok"
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def test_of_two_records_of_a_cell_the_one_that_a_run_needed_last_is_shown(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for hash, created in (("a" * 20, "2026-01-01"), ("b" * 20, "2026-01-02")):
        result = _record(hash)
        result.provenance.created = created
        store.put(result, {})
    assert [r.hash[0] for r in current(store.records())] == ["b"]
    store.reuse(["b" * 20])
    assert not list(store.root.glob("records/*/reused")), "nothing is written for what is shown already"
    store.reuse(["a" * 20])  # the code was changed back
    assert [r.hash[0] for r in current(store.records())] == ["a"]
    assert {r.hash[0] for r in store.records()} == {"a", "b"}


def test_what_raises_while_being_made_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with pytest.raises(ZeroDivisionError), store.making("victim", "h") as part:
        assert part is not None
        (part / "half").write_text("x")
        raise ZeroDivisionError
    assert not store.has("victim", "h")
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def _make(root: str, at: str) -> None:
    with Store(Path(root)).making("victim", "h") as part:
        if part is not None:
            time.sleep(0.3)
            (part / "who").write_text(at)
            (Path(root).parent / f"made-{at}").write_text("")


def test_two_processes_make_one_artefact(tmp_path: Path) -> None:
    root = tmp_path / "s"
    Store(root)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_make, args=(str(root), str(i))) for i in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert Store(root).has("victim", "h")


def test_processes_that_start_at_once_make_one_store(tmp_path: Path) -> None:
    for round in range(8):
        root, start = tmp_path / str(round), threading.Barrier(8)

        def make(root: Path = root, start: threading.Barrier = start) -> str:
            start.wait()
            return Store(root).entropy

        with ThreadPoolExecutor(8) as pool:
            entropies = {done.result() for done in [pool.submit(make) for _ in range(8)]}
        assert entropies == {Store(root).entropy}


@pytest.mark.parametrize("left", ["tmp/", "records/", ".lockbench.json.0f", ".flock-0f"])
def test_a_store_whose_making_was_killed_is_made_anew(left: str, tmp_path: Path) -> None:
    if left.endswith("/"):
        (tmp_path / left).mkdir()
    else:
        (tmp_path / left).write_text("")
    Store(tmp_path)
    assert Store(tmp_path, write=False).records() == []


def test_folders_that_are_no_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="no store, and not empty"):
        Store(tmp_path / "mine")
    (tmp_path / "records" / "labels").mkdir(parents=True)
    with pytest.raises(UserError, match="no store, and not empty"):
        Store(tmp_path)
    with pytest.raises(UserError, match="there is no store"):
        Store(tmp_path / "nowhere", write=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Store(tmp_path / "file")


def test_a_store_of_another_schema_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "s")
    (tmp_path / "s" / "lockbench.json").write_text(json.dumps({"schema": 999}))
    with pytest.raises(UserError, match="schema 999"):
        Store(tmp_path / "s")


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(UserError, match="no space left"):
        store.put(_record(), {"x": np.ones(1)})
    monkeypatch.undo()
    assert store.records() == []
    store.put(_record(), {"x": np.ones(1)})
    assert len(store.records()) == 1


def test_a_file_system_without_links_takes_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    entropy = Store(tmp_path / "s").entropy
    assert Store(tmp_path / "s").entropy == entropy
    assert sorted(p.name for p in (tmp_path / "s").iterdir() if p.is_file()) == ["lockbench.json"]
