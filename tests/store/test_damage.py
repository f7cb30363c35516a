"""What is damaged or stray in a store: named once with the reason, left out, made again, never shown as measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import DAMAGE, edit, flip
from small_stores import filled, small_record

from bench.errors import UserError
from bench.records import SCHEMA
from bench.store import Store, sums
from bench.store.reading import RECORD

AS_OLDER_CODE_WROTE = {
    "truncated": "record.json is cut or no JSON", "empty": "record.json is empty", "utf-16": "no JSON",
    "latin-1": "no JSON", "no JSON": "no JSON", "extra field": "does not know (mood)", "RP 150": "UP.value: ",
    "schema": f"it has schema {SCHEMA - 1}, this version reads {SCHEMA}", "folder": "is no file", "pipe": "is no file",
    "gone": "is missing",
    "evidence cut": "evidence.safetensors cannot be read", "evidence gone": "is missing",
}  # fmt: skip


def _one_damaged(root: Path, kind: str, with_sums: bool) -> tuple[str, str]:
    """Hashes of the damaged record and of the other in the store at ``root``."""
    store = filled(root)
    first, other = store.records()
    part, damage, _ = DAMAGE[kind]
    if not with_sums:
        (root / "lockbench.json").write_text(json.dumps({"schema": SCHEMA}))
        for file in root.glob(f"records/*/{sums.SUMS}"):
            file.unlink()
    damage(root / "records" / first.hash / part)
    return first.hash, other.hash


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_is_named_once_and_left_out(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = _one_damaged(tmp_path / "s", kind, with_sums=True)
    store = Store(tmp_path / "s", write=False)
    assert [r.hash for r in store.records()] == [good]
    assert [r.hash for r in store.records()] == [good]
    assert store.get(bad) is None
    (damage,) = store.damaged()
    assert damage.name == bad
    assert DAMAGE[kind][2] in damage.reason
    (line,) = caplog.messages
    assert "1 damaged record left out" in line
    assert bad in line
    assert damage.reason in line


@pytest.mark.parametrize("kind", AS_OLDER_CODE_WROTE)
def test_without_checksums_what_shows_of_itself_is_still_seen(kind: str, tmp_path: Path) -> None:
    bad, good = _one_damaged(tmp_path / "s", kind, with_sums=False)
    contents = Store(tmp_path / "s", write=False).contents()
    assert [r.hash for r in contents.records] == contents.without_sums == [good]
    (damage,) = contents.damaged
    assert damage.name == bad
    assert damage.foreign == (kind in ("schema", "extra field"))
    assert AS_OLDER_CODE_WROTE[kind] in damage.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"floor": 150.0}, "floor is no percentage"),
        ({"meter": {"steps": "many"}}, "meter.steps is no number"),
        ({"floor": "10"}, "floor: Input should be a valid number"),
        ({"cell__task_settings": {"task.size": "large"}}, "task.size is no size"),
        ({"cell__key__params": {"editor": 3}}, "editor is no name"),
        ({"cell__lock__params": {"alpha": {"deep": []}}}, "alpha is no parameter's value"),
        ({"row_key": "0" * 20}, "it is not the one it says it is"),
        ({"curve": [{"meter": {}, "RP": 150.0}]}, "curve.0.RP is no percentage"),
    ],
)
def test_values_that_no_measurement_has(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 1)
    (hash,) = (r.hash for r in store.records())
    folder = tmp_path / "s" / "records" / hash
    edit(folder / RECORD, **change)
    (folder / sums.SUMS).unlink()
    sums.write(folder)
    assert reason in store.damaged()[0].reason


def test_a_damaged_record_is_set_aside_by_the_one_that_is_made_again(tmp_path: Path) -> None:
    bad, _ = _one_damaged(tmp_path / "s", "truncated", with_sums=True)
    store = Store(tmp_path / "s")
    store.put(small_record(0), {"pred/UP": np.ones(1)})
    assert store.get(bad) is not None
    assert not store.damaged()
    assert len(list((tmp_path / "s" / "damaged").iterdir())) == 1
    shutil.rmtree(tmp_path / "s" / "records" / bad)
    (tmp_path / "s" / "records" / bad).write_text("a file where a folder is due")
    store.put(small_record(0), {"pred/UP": np.ones(1)})
    assert store.get(bad) is not None


STRAYS = (
    "records/.DS_Store", "records/notes", "artefacts/notes.txt", "artefacts/victim/.DS_Store", "tmp/notes.txt",
    "locks/notes.txt",
)  # fmt: skip


def test_strays_stop_nothing_and_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = filled(tmp_path / "s")
    with store.making("victim", "a" * 20) as part:
        assert part is not None
        (part / "value.json").write_text("{}")
    (tmp_path / "s" / "records" / "notes").mkdir()
    for name in STRAYS:
        if name != "records/notes":
            (tmp_path / "s" / name).write_text("x")
    (tmp_path / "s" / "records" / "n\udcff").mkdir()
    fresh = Store(tmp_path / "s")
    assert len(fresh.records()) == 2
    (line,) = caplog.messages
    assert "7 stray files or folders" in line
    assert {str(p.relative_to(fresh.root)) for p in fresh.strays()} == {*STRAYS, "records/n\udcff"}
    fresh.clean()
    assert (tmp_path / "s" / "tmp" / "notes.txt").exists()


@pytest.mark.parametrize("room", ["records", "artefacts", "tmp", "locks"])
def test_a_room_that_is_missing_or_a_file(room: str, tmp_path: Path) -> None:
    filled(tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / room)
    assert len(Store(tmp_path / "s", write=False).records()) == (0 if room == "records" else 2)
    (tmp_path / "s" / room).write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        Store(tmp_path / "s")
    with pytest.raises(UserError, match="is a file, not a folder"):
        Store(tmp_path / "s", write=False).records()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00", '{"schema": "two"}', '{"schema": null}', "[" * 100_000])
def test_a_damaged_mark_is_one_line(text: str, tmp_path: Path) -> None:
    filled(tmp_path / "s")
    (tmp_path / "s" / "lockbench.json").write_text(text)
    with pytest.raises(UserError) as refused:
        Store(tmp_path / "s")
    assert refused.value.remedy


def test_a_reused_mark_that_is_no_time_means_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 1)
    (record,) = store.records()
    for content in (b"\xff\xfe", b"zzz", b"\x1b[31m", b""):
        (tmp_path / "s" / "records" / record.hash / "reused").write_bytes(content)
        assert store.records()[0].provenance.reused == ""


def test_names_that_are_no_utf8_and_values_that_are_no_json_do_not_lose_a_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.put(small_record(0, classes=["a\udcff", "é🙂"], lock_notes={"what": object()}), {})
    (record,) = store.records()
    assert record.classes == ["a\\udcff", "é🙂"]
    assert record.lock_notes == {"what": "<object>"}


def _artefact(store: Store, content: str = "weights") -> str:
    with store.making("victim", "a" * 20) as part:
        if part is not None:
            (part / "weights.bin").write_text(content)
            (part / "meta.json").write_text("{}")
    return (store.artefact("victim", "a" * 20) / "weights.bin").read_text()


def _as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


ARTEFACT_DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (lambda a: (a / "weights.bin").write_text("wei"), "3 of 7 bytes"),
    "missing": (lambda a: (a / "weights.bin").unlink(), "weights.bin is missing"),
    "flipped": (lambda a: flip(a / "weights.bin"), "weights.bin was changed"),
    "meta": (lambda a: (a / "meta.json").write_text(""), "meta.json has 0 of 2 bytes"),
    "sums": (lambda a: (a / sums.SUMS).unlink(), "sums.json is missing"),
    "file": (_as_file, "no folder"),
    "kind": (lambda a: _as_file(a.parent), "no folder"),
}


@pytest.mark.parametrize("kind", ARTEFACT_DAMAGE)
def test_a_damaged_artefact_is_named_set_aside_and_made_again(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "s")
    assert _artefact(store) == "weights"
    damage, reason = ARTEFACT_DAMAGE[kind]
    damage(store.artefact("victim", "a" * 20))
    assert _artefact(store, "anew") == "anew"
    (line,) = caplog.messages
    assert "victim" in line
    assert reason in line
    assert len(list((tmp_path / "s" / "damaged").iterdir())) == 1
    assert _artefact(store, "not made") == "anew"


def test_an_artefact_without_checksums_is_believed_in_an_older_store_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    _artefact(store)
    (store.root / "lockbench.json").write_text(json.dumps({"schema": SCHEMA}))
    (store.artefact("victim", "a" * 20) / sums.SUMS).unlink()
    older = Store(store.root)
    assert _artefact(older, "not made") == "weights"
    (store.artefact("victim", "a" * 20) / "meta.json").write_text("{")
    assert _artefact(older, "anew") == "anew"


MAKER = """
import sys, time
from pathlib import Path
from bench.store import Store
with Store(Path(sys.argv[1])).making("victim", "a" * 20) as part:
    (part / "half").write_text("x")
    print(part, flush=True)
    sys.stdin.readline()
"""


def test_what_a_living_run_makes_stays_and_what_a_dead_one_left_goes_whatever_the_clock(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None
    part = Path(maker.stdout.readline().strip())
    for age in (0, 10**9):  # as if made in 1970
        os.utime(part, (age, age))
        store.clean()
        assert (part / "half").exists()
    assert store.leftovers() == []
    with pytest.raises(UserError, match="a run is at work"), store.alone():
        pass
    maker.kill()
    maker.wait()
    assert store.leftovers() == [part]
    store.clean()
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def test_parts_of_older_code_and_locks_alone_are_leftovers(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    tmp = tmp_path / "s" / "tmp"
    (tmp / ("a" * 32)).mkdir()
    (tmp / f"{'b' * 32}.lock").write_text("")
    (tmp / f"probe-{'c' * 32}").write_text("x")
    assert len(store.leftovers()) == 3
    store.clean()
    assert list(tmp.iterdir()) == []


def test_a_stray_of_any_name_can_be_set_aside(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    for name in ("é" * 120, "x" * 255, "n\udcff", "a b\n"):
        (tmp_path / "s" / "records" / name).write_text("x")
        store.set_aside(tmp_path / "s" / "records" / name)
    assert len(list((tmp_path / "s" / "damaged").iterdir())) == 4
