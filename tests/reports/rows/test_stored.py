"""The rows of a store, place by place, as those of all its records at once; noted ones only on the same basis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_records import record, world

from bench.hashing import digest
from bench.records import Record
from bench.store import Store, index, scan
from reports.rows import aggregate, stored


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small stores have an index too, and records are entered at once."""
    monkeypatch.setattr(scan, "LEAST", 1)
    monkeypatch.setattr(index, "SETTLED", -60.0)


def _put(store: Store, records: list[Record]) -> None:
    for each in records:
        each.provenance.hash = digest([each.row_key, each.cell.replicate, each.provenance.created, str(each.RP)])
        store.put(each, {"pred/RP": np.arange(3)})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    out = Store(tmp_path / "s")
    elsewhere = [r for r in world((44.0, 41.0), (20.0, 25.0), scenario="fonts") if r.cell.scenario == "fonts"]
    _put(out, [*world((80.0, 61.0), (30.0, 24.0)), *elsewhere, record("sophon", RP=None, status="failed", error="no")])
    return out


def test_they_are_those_of_all_records(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = aggregate.rows(store.verified(), store.evidence)
    assert len({(row.scenario, row.model) for row in truth}) > 1
    assert stored.of_store(store) == truth
    monkeypatch.setattr(stored, "rows", None)  # what is noted is not made again
    assert stored.of_store(Store(store.root, write=False)) == truth


def test_of_a_plan_they_are_those_of_its_records(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    records = store.verified()[:3]
    truth = aggregate.rows(records, store.evidence)
    assert stored.of_plan(store, records) == truth
    monkeypatch.setattr(stored, "rows", None)
    assert stored.of_plan(store, records) == truth


def test_a_place_whose_records_changed_is_made_again(store: Store) -> None:
    stored.of_store(store)
    _put(store, [record("ntl", "prompt-search", 0, RP=12.0, created="2026-05-01T00:00:00.000")])
    table = stored.of_store(store)
    assert table == aggregate.rows(store.verified(), store.evidence)
    assert any(row.lock_name == "ntl" for row in table)


def test_another_code_makes_them_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.of_store(store)
    monkeypatch.setattr(stored, "_code", lambda: "other")
    calls: list[int] = []
    rows = stored.rows

    def counted(*args: object, **named: object) -> object:
        calls.append(1)
        return rows(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "rows", counted)
    stored.of_store(store)
    assert len(calls) == 2


def test_the_newest_entry_counts_as_the_newest_record_does(store: Store) -> None:
    later = record("modellock", "prompt-search", 0, RP=5.0, created="2026-06-01T00:00:00.000")
    _put(store, [later, record("ntl", replicate=1000, RP=7.0, split="judge-validation")])
    chosen = {r.hash for r in aggregate.current(store.verified())}
    assert {entry.hash for entry in stored.newest(store.listing())} == chosen
    assert later.hash in chosen
