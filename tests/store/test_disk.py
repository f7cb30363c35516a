"""A disk that is full, read-only or not ours: one sentence, and no cell is blamed for it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from small_stores import filled, small_record

from bench.errors import UserError
from bench.store import Store, disk
from bench.store.disk import StoreError

SERIALISING = "Error while serializing: I/O error: No space left on device (os error 28)"


def _sqlite(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def _caused(cause: Exception) -> Exception:
    try:
        raise RuntimeError("the stage ended") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (SafetensorError(SERIALISING), True),
        (_sqlite("database or disk is full", sqlite3.SQLITE_FULL), True),
        (_caused(OSError(errno.ENOSPC, "")), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (_sqlite("database is locked", sqlite3.SQLITE_BUSY), False),
        (RuntimeError("the plugin says: No space left on device"), False),
        (ValueError("x"), False),
    ],
)
def test_what_came_of_a_full_disk(
    error: Exception, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SHORT", 0)
    assert disk.is_full(error, tmp_path) is full


def test_a_text_is_believed_where_the_disk_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "SHORT", 2**62)
    assert disk.is_full(RuntimeError(SERIALISING), tmp_path)
    assert not disk.is_full(RuntimeError("something else"), tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, ""), SafetensorError(SERIALISING)])
def test_a_full_disk_while_an_artefact_is_made_stops_with_one_sentence(error: Exception, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with pytest.raises(StoreError, match="no space left") as stop, store.making("victim", "a" * 20):
        raise error
    assert "continues where it stopped" in stop.value.remedy
    assert not store.has("victim", "a" * 20)
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


@pytest.mark.parametrize("error", [PermissionError("the plugin may not"), FileExistsError("a plugin's file")])
def test_what_a_plugin_raises_is_not_blamed_on_the_store(error: OSError, tmp_path: Path) -> None:
    with pytest.raises(type(error)), Store(tmp_path / "s").making("victim", "a" * 20):
        raise error


def test_a_full_disk_in_any_stage_ends_the_run_and_records_nothing(
    small_run: Callable[..., list[str]], bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError(SERIALISING)

    monkeypatch.setattr("bench.harness.stages.Stages.scored", full)
    done = bench(*small_run(tmp_path / "s", "--jobs", "1"))  # this process is the patched one
    assert done.returncode == 2
    assert done.stderr.count("no space left") == 1
    assert list((tmp_path / "s" / "records").iterdir()) == []
    monkeypatch.undo()
    done = bench(*small_run(tmp_path / "s"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "is read-only"),
        (errno.EACCES, "cannot be read or written"),
        (errno.ENAMETOOLONG, "File name too long"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_store_that_cannot_be_written_is_one_sentence(
    number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    store = filled(tmp_path / "s")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("bench.store.locks.fcntl.flock", refuse)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    for act in (lambda: Store(tmp_path / "s"), lambda: store.put(small_record(5), {})):
        with pytest.raises(UserError, match=words) as error:
            act()
        assert error.value.remedy
    assert len(Store(tmp_path / "s", write=False).records()) == 2, "reading needs no lock"


def test_a_path_that_is_too_long_or_none(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 300), tmp_path / "x\x00y"):
        for write in (True, False):
            with pytest.raises(UserError) as error:
                Store(path, write=write)
            assert error.value.remedy
