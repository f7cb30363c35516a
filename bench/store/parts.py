"""What is being made in a store, and the locks that say whose turn it is.

A part lies in ``tmp/`` beside a lock that its maker holds. Where nobody holds it, the maker is dead, and the part is a
leftover.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import UserError
from bench.store import disk, locks

PART = re.compile(r"[0-9a-f]{32}(\.lock|\.lease.*)?|probe-[0-9a-f]{32}")


def leftovers(paths: Iterable[Path]) -> Iterator[Path]:
    """Of ``paths``, those in ``tmp/``, what killed runs left half made: parts whose maker holds their lock no more."""
    for path in paths:
        if not PART.fullmatch(path.name) or (locks.name_of(path) and _part_of(path).exists()):
            continue  # a stray, or the lock of a part that is looked at itself
        with locks.taken(path.parent.parent, _lock_of(path)) as free:
            if free:
                yield path


def clean(paths: Iterable[Path]) -> None:
    """Remove the leftovers among ``paths``. What a living run makes stays, however old it looks."""
    for path in list(leftovers(paths)):
        lock = _lock_of(path)
        with locks.taken(path.parent.parent, lock) as free:
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
    with locks.alone(root) as free:
        if not free:
            raise UserError(f"a run is at work in the store {root}.", "Try again when it has ended.")
        yield


@contextmanager
def new(root: Path) -> Iterator[Path]:
    """A new folder in ``tmp/``. A lock beside it says that its maker lives; both are gone after the block."""
    with disk.clear_errors(root):
        part, end = _claim(root)
    try:
        yield part
    finally:
        remove(part)
        end()


def _claim(root: Path) -> tuple[Path, Callable[[], None]]:
    while True:
        part = root / "tmp" / uuid.uuid4().hex
        part.parent.mkdir(exist_ok=True)
        end = locks.create(root, _lock_of(part))
        if end is None:
            continue
        try:
            part.mkdir()
        except BaseException:
            end()
            raise
        return part, end


@contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """While no other process holds the lock ``name``."""
    with disk.clear_errors(root):
        (root / "locks").mkdir(exist_ok=True)
    with locks.exclusive(root, root / "locks" / f"{name}.lock"):
        yield


def _part_of(path: Path) -> Path:
    """The part in ``tmp/`` that ``path``, a part or what lies beside one, belongs to."""
    return path.with_name(locks.name_of(path) or path.name)


def _lock_of(path: Path) -> Path:
    """The lock of that part."""
    return path.with_name(f"{_part_of(path).name}.lock")


def remove(path: Path) -> None:
    """Remove a folder or a file, as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
