"""Entries are written from records: the same bytes each time, whole or not at all, without a key that is withheld."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bench
from bench.errors import UserError
from bench.records import Record
from bench.store import Store
from bench.zoo import contents, making, page, shelf
from bench.zoo.card import name_of


def _record(store: Store, lock: str) -> Record:
    return next(r for r in making.records(store, []) if r.cell.lock.name == lock)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_record_gives_the_same_bytes_in_the_place_of_the_old_ones(locked_store: Path, zoo: Path) -> None:
    store = Store(locked_store, write=False)
    record = _record(store, "modellock")
    entry = shelf.find("modellock", folder=zoo)
    before = _bytes(entry.folder)
    again = making.write(store, record, zoo)
    assert again.folder == entry.folder
    assert _bytes(again.folder) == before
    assert not [p for p in zoo.iterdir() if p.name.startswith(".")]


def test_the_card_has_the_numbers_of_the_record(locked_store: Path, stock: Path) -> None:
    record = _record(Store(locked_store, write=False), "modellock")
    card = shelf.find("modellock", folder=stock).card
    assert (card.UP, card.LP, card.oracle) == (record.UP, record.LP, record.oracle)
    assert card.origin.record == record.hash
    assert all(card.weights.answers_changed[name] <= card.LP.n for name in ("UP", "LP"))
    assert (stock / card.name / shelf.PAGE).read_text() == page.of(card)
    assert "passes=joint" in page.of(card)
    assert "raw=" not in page.of(card)  # which has an effect with passes=apart alone


def test_a_folder_that_is_no_entry_is_left_alone(locked_store: Path, stock: Path, tmp_path: Path) -> None:
    store = Store(locked_store, write=False)
    (tmp_path / shelf.find("modellock", folder=stock).card.name).mkdir()
    with pytest.raises(UserError, match="no entry of a zoo"):
        making.write(store, _record(store, "modellock"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_withheld_key_is_nowhere_in_the_entry(locked_store: Path, tmp_path: Path) -> None:
    store = Store(locked_store, write=False)
    record = _record(store, "modellock")
    card = making.write(store, record, tmp_path, given=False).card
    assert not (tmp_path / card.name / shelf.KEY).exists()
    assert "value" not in card.key.params
    assert "value" not in str(card.key.known)
    assert "key" not in card.origin.seeds
    assert str(record.provenance.seeds["key"]) not in (tmp_path / card.name / shelf.CARD).read_text()
    locked = bench.load_locked("modellock", folder=tmp_path, threat={"authorised": 0.01})
    assert locked.key is None
    assert len(bench.load_locked("modellock", folder=tmp_path).images())
    for needs_it in (lambda: locked.images("authorised"), lambda: locked.unlocked):
        with pytest.raises(UserError, match="withheld"):
            needs_it()


def test_a_key_that_anybody_can_draw_is_not_withheld(locked_store: Path, tmp_path: Path) -> None:
    store = Store(locked_store, write=False)
    with pytest.raises(UserError, match="in the weights cannot be withheld"):
        making.write(store, _record(store, "nn-splitter"), tmp_path / "z", given=False)
    source = making._source(store, _record(store, "modellock"))
    making._check_secret(source)
    inputs = source.record.provenance.inputs
    planned = {**inputs, "key": {**inputs["key"], "entropy": making.digest(making.PLAN)}}
    record = source.record.model_copy(
        update={"provenance": source.record.provenance.model_copy(update={"inputs": planned})}
    )
    with pytest.raises(UserError, match="anybody draws it again"):
        making._check_secret(replace(source, record=record))
    assert not (tmp_path / "z").exists()


def test_weights_beyond_float16_stay_float32(locked_store: Path) -> None:
    store = Store(locked_store, write=False)
    source = making._source(store, _record(store, "modellock"))
    assert making._stored_as(source)[0] == "float16"
    head = [name for name, v in source.trained.state.items() if v.ndim and len(v) == source.trained.spec["k"] + 1][-2:]
    large = {n: v * 1e9 if n in head else v for n, v in source.trained.state.items()}  # every answer stays
    dtype, changed = making._stored_as(replace(source, trained=replace(source.trained, state=large)))
    assert dtype == "float32"
    assert not any(changed.values())


def test_artefacts_that_are_gone_are_named(locked_store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(locked_store, tmp_path / "s"))
    shutil.rmtree(copy / "artefacts" / "protected")
    store = Store(copy, write=False)
    with pytest.raises(UserError, match="the protected artefact"):
        making.write(store, _record(store, "modellock"), tmp_path / "z")
    with pytest.raises(UserError, match="no record"):
        making.records(store, ["000000"])


def test_matrices_are_rounded_and_vectors_are_not() -> None:
    state = {"w": torch.randn(3, 3), "b": torch.randn(3), "n": torch.tensor(4)}
    stored = contents.rounded(state, "float16")
    assert [stored[n].dtype for n in "wbn"] == [torch.float16, torch.float32, torch.int64]
    back = contents.restored(stored)
    assert back["w"].dtype == torch.float32
    assert torch.equal(back["b"], state["b"])
    assert torch.allclose(back["w"], state["w"], rtol=2**-10)


@pytest.mark.parametrize(
    ("task", "settings", "name"),
    [("digits:fonts", {}, "l--digits-fonts--cnn--0"), ("digits", {"a/b": "../x"}, "l--digits--cnn--0--a-b-..-x")],
)
def test_names_are_names_of_folders(task: str, settings: dict[str, str], name: str) -> None:
    assert name_of("l", task, "cnn", 0, settings) == name
