from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store import packing, sums
from bench.store.packing import BadPack
from bench.store.store import Store

NAMES = st.lists(st.text("abc._-", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join)


def artefact(store: Store, hash: str = "a" * 20) -> Path:
    with store.making("key", hash) as part:
        assert part is not None
        (part / "value.json").write_text('{"x": 1}')
        (part / "deep").mkdir()
        (part / "deep" / "weights.bin").write_bytes(bytes(range(256)))
    return store.artefact("key", hash)


def test_an_artefact_travels_from_store_to_store(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    folder = artefact(one)
    packing.add(other, "key", "a" * 20, memoryview(packing.pack(folder)))
    there = other.artefact("key", "a" * 20)
    assert {p.relative_to(there) for p in there.rglob("*")} == {p.relative_to(folder) for p in folder.rglob("*")}
    assert (there / "deep" / "weights.bin").read_bytes() == bytes(range(256))
    assert sums.problem(there, required=True) is None


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    folder = artefact(store)
    packing.add(store, "key", "a" * 20, packing.pack_files({"value.json": b"other"}))
    assert (folder / "value.json").read_text() == '{"x": 1}'


def test_a_damaged_artefact_is_not_packed(tmp_path: Path) -> None:
    folder = artefact(Store(tmp_path / "s"))
    (folder / "value.json").write_text('{"x": 2}')
    with pytest.raises(BadPack, match=r"value\.json was changed"):
        packing.pack(folder)
    (folder / "value.json").unlink()
    with pytest.raises(BadPack, match=r"value\.json is missing"):
        packing.pack(folder)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".", "a//b", "./a", "a\\b", "a\0b", "sums.json"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadPack):
        packing.unpack(packing.pack_files({name: b"x"}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_pack_leaves_no_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with pytest.raises(BadPack):
        packing.add(store, "key", "b" * 20, b"nonsense")
    assert not store.has("key", "b" * 20)
    assert store.entries("tmp") == []


def test_a_header_of_any_length_is_bounded() -> None:
    with pytest.raises(BadPack, match="cut"):
        packing.unpack_files(packing.MAGIC + struct.pack("<Q", 2**60))


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=4))
def test_packing_and_back(contents: dict[str, bytes]) -> None:
    bad = [name for name in contents if not packing._is_inside(name)]
    within = [name for name in contents for other in contents if name.startswith(f"{other}/")]
    if bad or within:
        with pytest.raises(BadPack):
            packing.unpack_files(packing.pack_files(contents))
    else:
        assert packing.unpack_files(packing.pack_files(contents)) == contents


@given(st.binary(min_size=1, max_size=30), st.data())
def test_no_change_of_a_content_goes_unnoticed(content: bytes, data: st.DataObject) -> None:
    packed = bytearray(packing.pack_files({"a": content}))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = packing.unpack_files(packed)
    except BadPack:
        return
    assert list(changed.values()) == [content], "only the list's own spelling can change, and a plain name"
