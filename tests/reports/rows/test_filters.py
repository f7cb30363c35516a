"""A report is narrowed by the words that a run took."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_records import record

from bench.errors import UserError
from bench.records import Record
from reports.rows.aggregate import rows
from reports.rows.filters import Filters


def _with(**names: str) -> Record:
    own = record()
    cell = own.cell.model_copy(update=names)
    return own.model_copy(update={"cell": cell, "row_key": cell.row_key()})


def test_a_folder_by_the_path_that_the_run_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    table = rows([_with(scenario=f"folder:{tmp_path / 'photos'}"), record()])
    assert len(Filters(task=["folder:photos"]).narrow(table)) == 1
    with pytest.raises(UserError, match="nothing here has --task folder:other"):
        Filters(task=["folder:other"]).narrow(table)


def test_a_model_by_its_name_whatever_its_weights() -> None:
    table = rows([_with(model="resnet18?weights=/a/file.pth"), record()])
    assert len(Filters(model=["resnet18"]).narrow(table)) == 1
    assert len(Filters(model=["vit"]).narrow(table)) == 1
    with pytest.raises(UserError, match="nothing here has --model resnet1"):
        Filters(model=["resnet1"]).narrow(table)
