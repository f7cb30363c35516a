"""What stands in a gate's file: anything at all is read as a sound snapshot, or refused with one line and a remedy."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_worlds import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import ROOT

from bench.errors import UserError
from reports.gate import output, strict_json
from reports.gate import snapshot as snapshots
from reports.gate.rule import compare
from reports.gate.snapshot import Snapshot

WORLD, AFTER = World(range(8), 1), World((0, 1), 10)
NAMES = {("modellock", "prompt-search"), ("none", "from-scratch")}


def _small(world: World) -> Snapshot:
    pool = [r for r in world.records if (r.cell.lock.name, r.cell.attack.name) in NAMES]
    return snapshots.snapshot(pool, world.evidence)


CANDIDATE = _small(AFTER)
PAYLOAD: dict[str, Any] = json.loads(snapshots.as_text(_small(WORLD)))
CHECKSUM = PAYLOAD.pop("checksum")  # files of older versions have none, so all else must hold without it
LOCK = next(i for i, row in enumerate(PAYLOAD["rows"]) if row["lock_name"] == "modellock")
REPOSITORY = ROOT / "baselines" / "ci.json"


def refused(file: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        snapshots.read(file)
    well_said(caught.value)
    return caught.value


def well_said(error: UserError) -> None:
    for text in (error.message, error.remedy):
        assert text
        assert text.isprintable()
        assert len(text.encode()) < 2000


def written(tmp_path: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    payload = copy.deepcopy(PAYLOAD)
    if change is not None:
        change(payload)
    file = tmp_path / "b.json"
    file.write_text(json.dumps(payload), encoding="utf-8")
    return file


def seed(payload: dict[str, Any], number: str = "0") -> dict[str, Any]:
    found: dict[str, Any] = payload["rows"][LOCK]["seeds"][number]
    return found


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = written(tmp_path, lambda payload: payload.update(checksum=CHECKSUM))
    assert snapshots.read(file) == _small(WORLD)


def test_a_file_without_checksum_is_read_and_the_gate_says_so(tmp_path: Path) -> None:
    before = snapshots.read(written(tmp_path))
    assert before == _small(WORLD).model_copy(update={"sealed": False})
    (warning,) = [w for w in compare(before, CANDIDATE).warnings if "checksum" in w]
    assert warning.startswith("the snapshot has no checksum")
    assert not any("checksum" in w for w in compare(_small(WORLD), CANDIDATE).warnings)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["rows"].pop(),
        lambda p: seed(p)["values"].pop("RP"),
        lambda p: seed(p)["right"].pop("RP"),
        lambda p: seed(p)["flags"].append("x") if "flags" in seed(p) else seed(p).update(flags=["x"]),
        lambda p: p.update(suite="other"),
    ],
)
def test_whatever_was_edited_shows_in_the_checksum(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    def edit(payload: dict[str, Any]) -> None:
        payload["checksum"] = CHECKSUM
        change(payload)

    assert "its checksum is another" in refused(written(tmp_path, edit)).message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: seed(p)["values"].update(LP=math.nan), "NaN is no number"),
        (lambda p: seed(p)["values"].update(LP=math.inf), "Infinity is no number"),
        (lambda p: seed(p)["values"].update(LP=-1.0), "greater than or equal to 0"),
        (lambda p: seed(p)["values"].update(LP=150.0), "less than or equal to 100"),
        (lambda p: seed(p)["values"].update(LP="25"), "valid number"),
        (lambda p: seed(p)["values"].update(LP=True), "valid number"),
        (lambda p: seed(p)["values"].update(LP=None), "valid number"),
        (lambda p: seed(p)["values"].update(LP=24.0), "by its evidence"),
        (lambda p: seed(p)["values"].update(XP=24.0), "no number is called 'XP'"),
        (lambda p: seed(p).update(validation=math.nan), "NaN is no number"),
        (lambda p: seed(p)["n"].clear(), "is over no image"),
        (lambda p: seed(p)["n"].update(test=10), "bits of"),
        (lambda p: seed(p)["n"].update(test=-4), "greater than or equal to 0"),
        (lambda p: seed(p)["right"].update(LP="zz"), "bits of"),
        (lambda p: seed(p).update(surprise=1), "Extra inputs"),
        (lambda p: p["rows"].append(p["rows"][0]), "stands twice"),
        (lambda p: p["rows"][LOCK].update(row_key="0" * 20), "its key is not that of its settings"),
        (lambda p: p["rows"][LOCK]["row"].update(model="cnn"), "its key is not that of its settings"),
        (lambda p: p["rows"][LOCK]["row"].pop("explicit"), "explicit is missing"),
        (lambda p: p["rows"][LOCK]["row"].update(lock="modellock"), "lock is no name with settings"),
        (lambda p: p["rows"][LOCK].update(lock_name="none"), "its lock has two names"),
        (lambda p: p["rows"][LOCK]["seeds"].update({"00": seed(p)}), "'00' is no seed"),
        (lambda p: p["rows"][LOCK]["seeds"].update({"-1": seed(p)}), "'-1' is no seed"),
        (lambda p: p.update(format=2), "format 2"),
        (lambda p: p.update(format=[1] * 999), "format"),
        (lambda p: p.update({"x" * 9999: 1}), "Extra inputs"),
        (lambda p: p.update({"\x1b[31m\u202ered": 1}), "Extra inputs"),
        (lambda p: p.update(rows=None), "rows"),
    ],
)
def test_what_was_edited_is_refused(change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path) -> None:
    assert words in refused(written(tmp_path, change)).message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON at line 1"),
        (b'{"format": 1', "no JSON at line 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "is no snapshot"),
        (b"[1e999]", "out of range"),
        (b'{"rows": [], "rows": []}', "stands twice"),
        (b'"\\ud800"', "is no snapshot"),
        (b'{"\\ud800": 1, "rows": []}', "is no snapshot"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (b"caf\xe9", "byte 3 is no UTF-8 text"),
        (b"\x00" * 100, "no JSON"),
    ],
)
def test_what_is_no_text_of_ours_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(data)
    assert words in refused(file).message


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = written(tmp_path, lambda payload: payload.update(checksum=CHECKSUM))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert snapshots.read(file) == _small(WORLD)


def test_a_folder_an_endless_file_and_odd_paths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it is a folder" in refused(tmp_path).message
    assert "there is no snapshot" in refused(tmp_path / "none\x1b.json").message
    assert "cannot be read" in refused(tmp_path / ("x" * 300)).message
    assert "is no snapshot" in refused(Path("a\0b")).message
    monkeypatch.setattr(strict_json, "LARGEST", 2**20)
    assert "more than 1 megabytes" in refused(Path("/dev/zero")).message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(share: float, tmp_path: Path) -> None:
    data = REPOSITORY.read_bytes()
    file = tmp_path / "b.json"
    file.write_bytes(data[: int(share * len(data))])
    refused(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """The text of a sound snapshot with a few places replaced, removed, doubled or cut."""
    payload = copy.deepcopy(PAYLOAD)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = payload
        for _ in range(draw(st.integers(0, 7))):
            inner = list(place.values()) if isinstance(place, dict) else place
            inner = [x for x in inner if isinstance(x, dict | list) and x]
            if not inner:
                break
            place = inner[draw(st.integers(0, len(inner) - 1))]
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            continue
        key = keys[draw(st.integers(0, len(keys) - 1))]
        match draw(st.sampled_from(["replace", "remove", "other", "add"])):
            case "replace":
                place[key] = draw(json_values)
            case "remove":
                del place[key]
            case "other":
                other = keys[draw(st.integers(0, len(keys) - 1))]
                place[key] = copy.deepcopy(place[other])
            case "add":
                if isinstance(place, dict):
                    place[draw(st.text(max_size=6))] = draw(json_values)
                else:
                    place.append(draw(json_values))
    text = json.dumps(payload)
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-8-sig"]))
    data = text.encode(encoding)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()) | mutants() | mutants())
def test_any_file_is_judged_or_refused_with_one_line(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(data)
    try:
        comparison = compare(snapshots.read(file), CANDIDATE)
    except UserError as error:
        well_said(error)
        return
    assert all(math.isfinite(x) for f in comparison.findings for x in (f.before, f.after, f.low, f.high, f.detectable))
    assert len(output.summary(comparison).splitlines()) == 1
    output.markdown(comparison).encode()
    output.junit(comparison).encode()
