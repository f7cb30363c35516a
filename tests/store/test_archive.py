"""Records as one file: what goes in comes out, and what was tampered with is refused before anything is written."""

from __future__ import annotations

import io
import json
import stat
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import plan
from bench.errors import UserError
from bench.hashing import digest
from bench.records import Measured, Provenance, Record
from bench.store import Store
from bench.store import archive as exchange
from reports.rows.aggregate import current

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _record(replicate: int = 0, value: float = 50.0, **more: object) -> Record:
    cell = plan.make_cell("modellock", "none", "digits", "vit", {}, replicate=replicate)
    base = {"replicate": replicate}
    result = {"value": value, "parents": {"base": digest(base)}}
    provenance = Provenance(
        hash=digest(result), parents={"base": digest(base)}, inputs={"base": base, "record": result}
    )  # fmt: skip
    return Record(cell=cell, row_key=cell.row_key(), UP=Measured(value=value, n=8), provenance=provenance, **more)  # type: ignore[arg-type]


def _filled(root: Path, n: int = 2) -> Store:
    store = Store(root)
    for i in range(n):
        store.put(_record(i), {"pred/UP": np.arange(8) + i, "samples/raw": np.zeros((1, 3, 4, 4), np.uint8)})
    return store


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "records.zip"
    assert exchange.export(_filled(tmp_path / "from"), file) == exchange.Exported(2)
    return file


def test_a_record_that_is_measured_here_meanwhile_stays(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench run` beside an import: the look into the store and the write are one step."""
    here = Store(tmp_path / "to")
    (own, _) = Store(tmp_path / "from").records()
    get = here.get

    def late(hash: str) -> Record | None:
        known = get(hash)
        if known is None and hash == own.hash:
            here.put(own, {"pred/UP": np.arange(8)})
        return known

    monkeypatch.setattr(here, "get", late)
    assert exchange.load(written, here) == exchange.Imported(added=1, known=1)
    monkeypatch.undo()
    record = here.get(own.hash)
    assert record is not None
    assert record.third_party is None


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_is_no_place_for_an_export(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        exchange.export(_filled(tmp_path / "from"), Path(name))


def test_what_is_imported_is_what_was_exported_and_marked(written: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "to")
    assert exchange.load(written, here) == exchange.Imported(added=2, known=0)
    theirs = {r.hash: r for r in Store(tmp_path / "from").records()}
    for record in here.records():
        assert record.third_party == "records.zip"
        assert [flag.name for flag in record.flags] == ["third-party"]
        plain = record.model_copy(update={"third_party": None, "flags": []})
        assert plain == theirs[record.hash]
        assert np.array_equal(here.evidence(record)["pred/UP"], np.arange(8) + record.cell.replicate)
    assert exchange.load(written, here) == exchange.Imported(added=0, known=2)


def test_a_record_that_calls_itself_imported_is_flagged_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "from")
    store.put(_record(0, third_party="theirs.zip"), {"pred/UP": np.arange(8)})
    exchange.export(store, tmp_path / "x.zip")
    exchange.load(tmp_path / "x.zip", Store(tmp_path / "to"))
    (record,) = Store(tmp_path / "to").records()
    assert [flag.name for flag in record.flags] == ["third-party"]
    assert record.third_party == "x.zip"


def test_the_same_records_give_the_same_file(written: Path, tmp_path: Path) -> None:
    exchange.export(Store(tmp_path / "from"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == written.read_bytes()


def test_our_own_record_stays_and_stands_before_theirs(written: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "to")
    mine, newer = _record(0), _record(1, 70.0)
    here.put(mine, {})
    here.put(newer, {})
    assert exchange.load(written, here) == exchange.Imported(added=1, known=1)
    assert here.get(mine.hash) == mine
    assert [r.hash for r in current(here.records())] == [mine.hash, newer.hash]


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), min_size=1, max_size=5, unique_by=lambda x: x[0]),
    st.integers(1, 20),
)
def test_round_trip_of_any_records(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, float]], n: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    store = Store(folder / "a")
    for replicate, value in told:
        store.put(_record(replicate, value), {"pred/UP": np.full(n, replicate)})
    exchange.export(store, folder / "x.zip")
    exchange.load(folder / "x.zip", Store(folder / "b"))
    match = {r.cell.replicate: r.UP.value for r in Store(folder / "b").records() if r.UP}
    assert match == dict(told)


@QUICK
@given(st.data())
def test_corrupted_bytes_are_refused_or_change_nothing(written: Path, tmp_path: Path, data: st.DataObject) -> None:
    good = written.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    file = tmp_path / "bad.zip"
    file.write_bytes(bytes(bad))
    here = Store(tmp_path / f"to-{uuid.uuid4()}")  # drawn names come again when hypothesis replays
    try:
        exchange.load(file, here)
    except UserError as error:
        assert error.remedy
        assert here.records() == []
        return
    # A byte of a date or a comment means nothing: then all records are exactly theirs.
    theirs = {r.hash: r for r in Store(tmp_path / "from", write=False).records()}
    for record in here.records():
        assert record.model_copy(update={"third_party": None, "flags": []}) == theirs[record.hash]


@QUICK
@given(st.integers(0, 5000))
def test_a_cut_file_is_refused(written: Path, tmp_path: Path, length: int) -> None:
    good = written.read_bytes()
    file = tmp_path / "cut.zip"
    file.write_bytes(good[: min(length, len(good) - 1)])
    with pytest.raises(UserError):
        exchange.load(file, Store(tmp_path / "cut"))
    assert Store(tmp_path / "cut").records() == []


@pytest.mark.parametrize("member", [0, 1, -1])
@pytest.mark.parametrize("where", ["data", "offset", "method"])
def test_damage_in_any_place_is_refused_with_a_remedy(written: Path, tmp_path: Path, member: int, where: str) -> None:
    with zipfile.ZipFile(written) as opened:
        info = opened.infolist()[member]
    bad = bytearray(written.read_bytes())
    entry = bad.rfind(info.filename.encode()) - 46  # its place in the central directory
    if where == "data":  # the first block gets a type that does not exist
        bad[info.header_offset + 30 + len(info.filename)] |= 0b110
    elif where == "offset":
        bad[entry + 42 : entry + 46] = b"\xff\xff\xff\x80"
    else:
        bad[entry + 10] = zipfile.ZIP_BZIP2
    file = tmp_path / "bad.zip"
    file.write_bytes(bytes(bad))
    with pytest.raises(UserError) as refused:
        exchange.load(file, Store(tmp_path / "none"))
    assert refused.value.remedy
    assert Store(tmp_path / "none").records() == []


def _rewritten(file: Path, change: Callable[[dict[str, bytes]], None], honest: bool = True, link: str = "") -> None:
    """``file`` with other members; ``honest`` makes the manifest agree with them."""
    with zipfile.ZipFile(file) as old:
        members = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members)
    if honest:
        import hashlib

        manifest["files"] = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in members.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        for name, content in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = ((stat.S_IFLNK if name == link else stat.S_IFREG) | 0o644) << 16
            new.writestr(info, content)
    file.write_bytes(out.getvalue())


def _first(members: dict[str, bytes], part: str) -> str:
    return next(name for name in members if name.endswith(part))


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "records/../../evil",
        "records/" + "a" * 20 + "/more.py",
        "records/ABC/record.json",
        "x\\y",
    ],
)
def test_another_path_is_refused(name: str, written: Path, tmp_path: Path) -> None:
    _rewritten(written, lambda members: members.update({name: b"x"}))
    with pytest.raises(UserError, match="it has a member"):
        exchange.load(written, Store(tmp_path / "to"))
    assert Store(tmp_path / "to").records() == []


def test_a_link_is_refused(written: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(written) as opened:
        name = _first(dict.fromkeys(opened.namelist(), b""), "record.json")
    _rewritten(written, lambda members: None, link=name)
    with pytest.raises(UserError, match="not a plain file"):
        exchange.load(written, Store(tmp_path / "to"))


def test_a_changed_number_is_refused(written: Path, tmp_path: Path) -> None:
    def raise_it(members: dict[str, bytes]) -> None:
        name = _first(members, "record.json")
        members[name] = members[name].replace(b"50.0", b"99.0")

    _rewritten(written, raise_it, honest=False)
    with pytest.raises(UserError, match="checksum"):
        exchange.load(written, Store(tmp_path / "to"))


def test_a_record_under_another_name_or_row_is_refused(written: Path, tmp_path: Path) -> None:
    def other_row(members: dict[str, bytes]) -> None:
        name = _first(members, "record.json")
        members[name] = members[name].replace(b'"vit"', b'"cnn"')

    _rewritten(written, other_row)
    with pytest.raises(UserError, match="not the one it says"):
        exchange.load(written, Store(tmp_path / "to"))


@pytest.mark.parametrize("where", ["record", "base", "parents", "shape", "none"])
def test_a_record_whose_inputs_do_not_give_its_hash_is_refused(where: str, written: Path, tmp_path: Path) -> None:
    def other_inputs(members: dict[str, bytes]) -> None:
        name = _first(members, "record.json")
        text = json.loads(members[name])
        if where == "parents":
            text["provenance"]["parents"]["base"] = "0" * 20
        elif where == "shape":
            text["provenance"]["inputs"]["base"] = ["no stage"]
        elif where == "none":
            text["provenance"]["inputs"] = {}
        else:
            text["provenance"]["inputs"][where]["value"] = 1.5
        members[name] = json.dumps(text).encode()

    _rewritten(written, other_inputs)
    with pytest.raises(UserError, match="was not made from"):
        exchange.load(written, Store(tmp_path / "to"))


def test_a_record_without_evidence_and_one_too_large_are_refused(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "LARGEST", 100)
        with pytest.raises(UserError, match="too large"):
            exchange.load(written, Store(tmp_path / "to"))
    _rewritten(written, lambda members: members.pop(_first(members, ".safetensors")) and None)
    with pytest.raises(UserError, match="lacks a part"):
        exchange.load(written, Store(tmp_path / "to"))


def test_no_records_no_file_and_no_zip_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        exchange.export(Store(tmp_path / "empty"), tmp_path / "x.zip")
    assert not list(tmp_path.glob("*x.zip*"))
    with pytest.raises(UserError, match="there is no file"):
        exchange.load(tmp_path / "x.zip", Store(tmp_path / "empty"))
    (tmp_path / "x.zip").write_text("hello")
    with pytest.raises(UserError, match="refused"):
        exchange.load(tmp_path / "x.zip", Store(tmp_path / "empty"))


def _edited(**changes: object) -> Callable[[dict[str, bytes]], None]:
    """A change of the first record's JSON, by path."""

    def change(members: dict[str, bytes]) -> None:
        name = _first(members, "record.json")
        value = json.loads(members[name])
        for path, new in changes.items():
            at, (*way, last) = value, path.split("__")
            for step in way:
                at = at[step]
            at[last] = new
        members[name] = json.dumps(value).encode()

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"UP__value": "many"}, "UP.value: Input should be a valid number"),
        ({"UP__value": "50.0"}, "UP.value: Input should be a valid number"),
        ({"UP__value": 150.0}, "UP.value: Input should be less than or equal to 100"),
        ({"meter": {"steps": "<b>"}}, "meter.steps is no number"),
        ({"curve": [{"meter": {"guesses": "x"}, "RP": 1.0}]}, "curve.0.meter.guesses is no number"),
        ({"provenance__seconds": {"victim": "long"}}, "provenance.seconds.victim: Input should be a valid number"),
        ({"schema_version": 99}, "it has schema 99"),
        ({"mood": "good"}, "does not know (mood)"),
        ({"classes": ["a\x1b[31m", "b"]}, r"classes holds 'a\x1b[31m'"),
        ({"classes": ["\u202egnp"]}, r"classes holds '\u202egnp'"),
        ({"provenance__machine": "x\x07"}, r"provenance holds 'x\x07'"),
        ({"key": {"prompt": "a\nb"}}, r"key holds 'a\nb'"),
    ],
)
def test_what_is_no_measurement_is_refused_by_name(
    change: dict[str, object], reason: str, written: Path, tmp_path: Path
) -> None:
    _rewritten(written, _edited(**change))
    with pytest.raises(UserError) as refused:
        exchange.load(written, Store(tmp_path / "to"))
    assert reason in refused.value.message
    assert refused.value.message.isprintable()
    assert Store(tmp_path / "to").records() == []


def test_text_that_is_no_name_is_escaped(written: Path, tmp_path: Path) -> None:
    odd = tmp_path / "re\x1b[31mcords.zip"
    change = _edited(error="red \x1b[31m\nsecond line", lock_notes={"\u202e": "\x07"}, provenance__command="a\x1b")
    _rewritten(written, change)
    written.rename(odd)
    exchange.load(odd, Store(tmp_path / "to"))
    (record,) = (r for r in Store(tmp_path / "to").records() if r.error)
    assert record.error == "red \\x1b[31m\nsecond line"
    assert record.lock_notes == {"\\u202e": "\\x07"}
    assert record.provenance.command == "a\\x1b"
    assert record.third_party == "re\\x1b[31mcords.zip"


def test_evidence_that_does_not_fit_together_is_refused(written: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save

    for arrays, reason in (
        ({"test_index": np.arange(3), "test_labels": np.arange(4)}, "do not fit together"),
        ({"test_index": np.arange(3), "test_labels": np.arange(3), "pred/RP": np.arange(2)}, "another length"),
        ({"pred/RP": np.ones(3, np.float32)}, "holds no classes"),
        ({"samples/raw": np.zeros((2, 3, 4, 4), np.float32)}, "holds no images"),
        ({"samples/raw": np.zeros((2, 3, 4, 4), np.uint8), "samples/labels": np.arange(1)}, "fewer entries"),
        ({"pred/\x1b": np.arange(2)}, "its evidence has the name"),
    ):
        content = save(arrays)
        _rewritten(written, lambda members, c=content: members.update({_first(members, ".safetensors"): c}))  # type: ignore[misc]
        with pytest.raises(UserError, match=reason):
            exchange.load(written, Store(tmp_path / "to"))


def test_a_bomb_is_refused_before_it_is_unpacked(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(written) as opened:
        names = opened.namelist()
    huge = tmp_path / "huge.zip"
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            out.writestr(name, b"\0" * 2**25)
    assert huge.stat().st_size < 2**20
    monkeypatch.setattr(exchange, "_content", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(UserError, match="would unpack to"):
        exchange.load(huge, Store(tmp_path / "to"))


def test_a_size_that_the_manifest_does_not_say_is_refused(written: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(written) as old:
        members = {name: old.read(name) for name in old.namelist()}
    for size in (-5, 0, 10**12):
        manifest = json.loads(members["manifest.json"])
        next(iter(manifest["files"].values()))["bytes"] = size
        with zipfile.ZipFile(written, "w") as new:
            for name, content in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
                new.writestr(name, content)
        with pytest.raises(UserError, match="another size"):
            exchange.load(written, Store(tmp_path / "to"))


def test_damaged_records_are_left_out_of_an_export_and_named(tmp_path: Path) -> None:
    store = _filled(tmp_path / "from", 3)
    first, second, _ = store.records()
    (tmp_path / "from" / "records" / first.hash / "record.json").write_text("{")
    (tmp_path / "from" / "records" / second.hash / "evidence.safetensors").unlink()
    done = exchange.export(store, tmp_path / "x.zip")
    assert done.written == 1
    assert {record.name for record in done.left_out} == {first.hash, second.hash}
    assert exchange.load(tmp_path / "x.zip", Store(tmp_path / "to")).added == 1


def test_a_damaged_record_of_ours_is_set_aside_by_an_import(written: Path, tmp_path: Path) -> None:
    here = Store(tmp_path / "to")
    here.put(_record(0), {})
    (tmp_path / "to" / "records" / _record(0).hash / "record.json").write_text("{")
    assert exchange.load(written, here) == exchange.Imported(added=2, known=0)
    assert len(list((tmp_path / "to" / "damaged").iterdir())) == 1
