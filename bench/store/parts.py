"""What is being made in a store, and the locks that say whose turn it is.

A part lies in ``tmp/`` beside a lock that its maker holds. Where nobody holds it, the maker is dead, and the part is a
leftover.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import UserError
from bench.store import disk

PART = re.compile(r"[0-9a-f]{32}(\.lock)?|probe-[0-9a-f]{32}")
IN_USE = "in-use.lock"
"""The lock that whoever may write holds together, and whoever repairs alone."""


def leftovers(paths: Iterable[Path]) -> Iterator[Path]:
    """Of ``paths``, those in ``tmp/``, what killed runs left half made: parts whose maker holds their lock no more."""
    for path in paths:
        if not PART.fullmatch(path.name) or (path.suffix == ".lock" and path.with_suffix("").exists()):
            continue  # a stray, or the lock of a part that is looked at itself
        with _taken(_lock_of(path)) as free:
            if free:
                yield path


def clean(paths: Iterable[Path]) -> None:
    """Remove the leftovers among ``paths``. What a living run makes stays, however old it looks."""
    for path in list(leftovers(paths)):
        lock = _lock_of(path)
        with _taken(lock) as free:
            if free:
                remove(path)
                with suppress(OSError):
                    lock.unlink(missing_ok=True)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """While no other process may write to the store at ``root``.

    Raises:
        UserError: one may just now.
    """
    with disk.clear_errors(root):
        (root / "locks").mkdir(exist_ok=True)
        lock = os.open(root / "locks" / IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"a run is at work in the store {root}.", "Try again when it has ended.") from None
        yield
    finally:
        os.close(lock)


@contextmanager
def new(root: Path) -> Iterator[Path]:
    """A new folder in ``tmp/``. A lock beside it says that its maker lives; both are gone after the block."""
    with disk.clear_errors(root):
        part, lock, file = _claim(root)
    try:
        yield part
    finally:
        remove(part)
        with suppress(OSError):
            lock.unlink()
        os.close(file)


def _claim(root: Path) -> tuple[Path, Path, int]:
    while True:
        part = root / "tmp" / uuid.uuid4().hex
        lock = part.with_name(f"{part.name}.lock")
        lock.parent.mkdir(exist_ok=True)
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Another run may have taken the file for a dead one's before it was locked.
            if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file)):
                part.mkdir()
                return part, lock, file
        except BaseException:
            with suppress(OSError):
                lock.unlink(missing_ok=True)
            os.close(file)
            raise
        os.close(file)


@contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """While no other process holds the lock ``name``."""
    with disk.clear_errors(root):
        (root / "locks").mkdir(exist_ok=True)
        file = (root / "locks" / f"{name}.lock").open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_of(part: Path) -> Path:
    """The lock of a part in ``tmp/``, given the part or the lock."""
    return part.with_name(f"{part.name.removesuffix('.lock')}.lock")


@contextmanager
def _taken(lock: Path) -> Iterator[bool]:
    """Take ``lock`` for the block; False where another process does. A lock that is not there is nobody's."""
    try:
        file = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                raise
            yield False
            return
        yield True
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove a folder or a file, as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
