"""What a disk refuses, as one line with a remedy: no space, no right to write, a name too long, a file for a folder."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
WORDS = ("No space left on device", "Disk quota exceeded", "database or disk is full", "os error 28", "os error 122")
"""What libraries that hide the number say of a full disk."""
SHORT = 2**30
"""Bytes: where more are free, a text that speaks of a full disk is not believed."""


class StoreError(UserError):
    """The disk, or the store on it, cannot be used.

    No cell is to blame: the run stops, and none is recorded as failed.
    """


def is_full(error: BaseException, *folders: Path) -> bool:
    """Whether ``error`` came of a full disk, itself or through its cause.

    Args:
        folders: where a text alone is not enough, what another process said: believed if one of these, or the folder
            of temporary files, is short of space.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if _says_so(at) or (_has_words(at) and any(map(_is_short, (*folders, Path(tempfile.gettempdir()))))):
            return True
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL or _has_words(error)
    return type(error).__name__ == "SafetensorError" and _has_words(error)


def _has_words(error: BaseException) -> bool:
    text = str(error)
    return any(words in text for words in WORDS)


def _is_short(folder: Path) -> bool:
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < SHORT


@contextmanager
def stop_if_full(root: Path) -> Iterator[None]:
    """Turn an error of the block that came of a full disk into a `StoreError`; every other passes."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if is_full(error, root):
            raise no_space(root) from error
        raise


def no_space(root: Path) -> StoreError:
    """The line for a full disk."""
    return StoreError(
        f"no space left for the store {root}, or for temporary files in {tempfile.gettempdir()}.",
        "Free some space; the same command continues where it stopped.",
    )


@contextmanager
def clear_errors(root: Path) -> Iterator[None]:
    """Turn what the disk refuses in the block into a `StoreError` that names the store ``root`` or the file."""
    with stop_if_full(root):
        try:
            yield
        except OSError as error:
            raise _clear(error, root) from None
        except ValueError as error:  # a null byte in the path
            if "null" not in str(error):
                raise
            raise StoreError(f"{root} is no path.", "Name another folder with --store.") from None


def _clear(error: OSError, root: Path) -> OSError | StoreError:
    place = error.filename if isinstance(error.filename, str) else str(root)
    if error.errno in FULL:
        return no_space(root)
    if error.errno == errno.EROFS:
        return StoreError(f"the store {root} is read-only.", "Name another folder with --store.")
    if isinstance(error, PermissionError):
        return StoreError(f"the store {root} cannot be read or written.", "Name another folder with --store.")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StoreError(f"{place} is a file, not a folder.", "Remove it, or name another folder with --store.")
    if isinstance(error, IsADirectoryError):
        return StoreError(f"{place} is a folder, not a file.", "Remove it, or name another folder with --store.")
    reason = error.strerror or type(error).__name__
    return StoreError(f"the store {root} cannot be used: {reason}.", "Name another folder with --store.")


def write_once(file: Path, text: str) -> None:
    """Write ``file`` where it is not there; of two writers at once, the first one's stays."""
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            with suppress(FileExistsError), file.open("x", encoding="utf-8") as own:
                own.write(text)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(file: Path, text: str) -> None:
    """Write ``file``, whole or not at all, in the place of what is there."""
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
