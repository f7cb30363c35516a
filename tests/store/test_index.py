"""The index beside the records: it spares reading, and is never believed against the folders."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damage import DAMAGE
from small_stores import filled, small_record

from bench.records import CurvePoint, Record
from bench.store import Store, index, scan
from bench.store.reading import RECORD

N = 3


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small stores have an index too, and records are entered at once."""
    monkeypatch.setattr(scan, "LEAST", 1)
    monkeypatch.setattr(index, "SETTLED", -60.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose index is made."""
    out = filled(tmp_path / "s", N)
    assert len(out.records()) == N
    assert (out.root / index.NAME).is_file()
    return out


def _bare(records: list[Record]) -> list[Record]:
    """``records`` without the inputs of their hashes."""
    for record in records:
        record.provenance.inputs = {}
    return records


def _no_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of records that are read from now on."""
    names: list[str] = []
    read = Store.read

    def noted(self: Store, name: str) -> object:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(Store, "read", noted)
    return names


def test_it_gives_what_the_folders_hold_and_reads_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = _no_reading(monkeypatch)
    records = Store(store.root, write=False).records()
    assert names == []
    assert records == _bare(store.verified())
    assert len(names) == N
    entries = store.listing()
    assert [e.hash for e in entries] == [r.hash for r in records]
    assert [(e.row_key, e.replicate, e.last, e.complete) for e in entries] == [
        (r.row_key, r.cell.replicate, r.last, r.complete) for r in records
    ]
    assert store.known([records[1].hash, "0" * 20]) == {records[1].hash: entries[1]}
    assert list(store.load(entries[1:])) == records[1:]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_since_it_was_made_is_seen(kind: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    bad, *good = (r.hash for r in store.records())
    part, damage, reason = DAMAGE[kind]
    damage(store.root / "records" / bad / part)
    fresh = Store(store.root, write=False)
    assert [r.hash for r in fresh.records()] == [e.hash for e in fresh.listing()] == good
    assert bad not in fresh.known([bad])
    (line,) = caplog.messages
    assert bad in line
    assert reason in line


def test_records_that_vanish_appear_or_are_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = store.records()
    shutil.rmtree(store.root / "records" / first.hash)
    store.put(small_record(7, 12.5), {"pred/UP": np.zeros(8, np.int64)})
    store.put(others[0].model_copy(update={"floor": 33.0}), {"pred/UP": np.zeros(8, np.int64)})
    names = _no_reading(monkeypatch)
    records = Store(store.root, write=False).records()
    assert sorted(names) == sorted([others[0].hash, small_record(7, 12.5).hash])
    assert records == _bare(store.verified())
    assert {r.floor for r in records} == {None, 33.0}
    with index.Index(store.root, store.sums_required) as opened:
        assert opened.hashes() == {r.hash for r in records}


def _flip_in(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for at in range(len(content) // 2, len(content)):
        content[at] ^= 0x55
    file.write_bytes(bytes(content))


def _forge(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE entries SET status = 'failed'")


def _forge_bodies(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE bodies SET body = x'00'")


def _older(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE version SET text = 'of other code'")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILT: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda f: f.write_bytes(b""),
    "no database": lambda f: f.write_text("hello " * 1000),
    "cut": lambda f: f.write_bytes(f.read_bytes()[:9000]),
    "flipped": _flip_in,
    "entries changed": _forge,
    "bodies changed": _forge_bodies,
    "of other code": _older,
    "a folder": _folder,
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_index_is_made_anew_without_a_word(how: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    truth = _bare(store.verified())
    SPOILT[how](store.root / index.NAME)
    for _ in range(2):
        fresh = Store(store.root, write=False)
        assert fresh.records() == truth
        assert [e.status for e in fresh.listing()] == ["ok"] * N
        assert len(fresh.known([r.hash for r in truth])) == N
    assert caplog.messages == []


def test_where_it_cannot_be_written_it_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "s", N)
    monkeypatch.setattr(index, "TABLES", "no SQL;")  # as on a disk that refuses: an error of operation
    assert store.records() == _bare(store.verified())
    assert [e.status for e in store.listing()] == ["ok"] * N


def test_what_changed_a_moment_ago_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SETTLED", 3600.0)
    store = filled(tmp_path / "s", N)
    names = _no_reading(monkeypatch)
    for _ in range(2):
        assert len(store.records()) == N
    assert len(names) == 2 * N


def test_a_number_that_json_cannot_say_is_read_from_its_folder(tmp_path: Path) -> None:
    point = CurvePoint(meter={}, RP=50.0, note={"loss": float("nan")})
    record = small_record(0).model_copy(update={"curve": [point]})
    assert not index.is_faithful(record)
    assert index.is_faithful(_bare([small_record(0)])[0])


def test_a_small_store_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LEAST", N + 1)
    store = filled(tmp_path / "s", N)
    assert len(store.records()) == len(store.listing()) == N
    assert not (store.root / index.NAME).exists()


def test_a_mark_of_reuse_counts_at_once(store: Store) -> None:
    newer = small_record(1, 80.0)
    newer.provenance.created = "2026-02-01T00:00:00.000"
    older = small_record(1).hash
    store.put(newer, {"pred/UP": np.zeros(8, np.int64)})
    assert store.known([older])[older].reused == ""
    store.reuse([older])
    entry = store.known([older])[older]
    assert entry.last > newer.last
    (store.root / "records" / older / index.REUSED).write_text("no time")
    assert store.known([older])[older].reused == ""
    assert next(store.load([entry])).hash == older


def test_a_clock_that_goes_backwards_does_not_hide_what_was_needed_last(store: Store) -> None:
    newer = small_record(1, 80.0)
    newer.provenance.created = "2999-01-01T00:00:00.000+00:00"
    store.put(newer, {"pred/UP": np.zeros(8, np.int64)})
    older = small_record(1).hash
    store.reuse([older])
    assert store.known([older])[older].last > newer.last


def test_a_change_that_keeps_size_and_time_of_writing_shows(store: Store) -> None:
    import os

    hash = store.records()[0].hash
    file = store.root / "records" / hash / RECORD
    state = file.stat()
    file.write_text(file.read_text().replace('"value": 50.0', '"value": 30.0'))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert hash not in {r.hash for r in Store(store.root, write=False).records()}


WRITER = """
import sys
from pathlib import Path
from bench.store import Store, index, scan
scan.LEAST, index.SETTLED, scan.BATCH = 1, -60.0, 1
print(*sorted(r.hash for r in Store(Path(sys.argv[1]), write=False).records()))
"""


def test_several_commands_make_it_at_once(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 12)
    command = [sys.executable, "-c", WRITER, str(store.root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    hashes = [r.hash for r in store.verified()]
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out.split() == sorted(hashes)
    assert [r.hash for r in store.records()] == hashes
