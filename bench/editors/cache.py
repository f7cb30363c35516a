"""Edits kept on disk, by content: one sqlite database that several processes may use at once.

A cache is never worth a failed run: what cannot be read is edited again, what cannot be written is not
kept, and either is said once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE = 30.0  # seconds to wait for another process's write
_ASKED_AT_ONCE = 500  # below the least number of variables any sqlite build allows in a statement
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = """CREATE TABLE IF NOT EXISTS edits
    (space BLOB, image BLOB, pixels BLOB, sum BLOB, PRIMARY KEY (space, image)) WITHOUT ROWID"""
# Every column is asked for, so that a table of another shape is noticed here and not in the middle of a run.
_PROBE = "SELECT space, image, pixels, sum FROM edits LIMIT 1"


class EditCache:
    """Raw edits by (space, image): a space is a digest of editor, prompt, settings and machine.

    Args:
        path: the database file; it and its folder are made when first needed. A file that is damaged or
            no database is put aside as ``NAME.damaged`` and made anew, with a warning. Where nothing can
            be written (read-only, full disk) the cache goes on without, with one warning.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = -1
        self._off = False
        self._unwritable = False

    def get_many(self, space: bytes, images: Iterable[bytes]) -> dict[bytes, bytes]:
        """The kept pixels of those of ``images`` (digests) that are in ``space``."""
        wanted = list(dict.fromkeys(images))

        def ask(connection: sqlite3.Connection) -> dict[bytes, bytes]:
            match: dict[bytes, bytes] = {}
            for at in range(0, len(wanted), _ASKED_AT_ONCE):
                part = wanted[at : at + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT image, pixels, sum FROM edits WHERE space = ? AND image IN ({marks})",  # noqa: S608  # only question marks
                    (space, *part),
                )
                # Damage that sqlite does not notice must cost an edit, never change one.
                match.update((k, v) for k, v, rest in rows if rest == _sum(space, k, v))
            return match

        return self._do(ask) or {}

    def put_many(self, space: bytes, pixels: Mapping[bytes, bytes]) -> None:
        """Keep ``pixels`` by image digest in ``space``, all or none."""
        if not pixels or self._unwritable:
            return

        def keep(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO edits VALUES (?, ?, ?, ?)",
                    [(space, k, v, _sum(space, k, v)) for k, v in pixels.items()],
                )

        self._do(keep)

    def count(self) -> int:
        """Number of edits kept, over all spaces."""
        return self._do(lambda c: int(c.execute("SELECT count(*) FROM edits").fetchone()[0])) or 0

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """``work`` on the database, or None where that cannot be."""
        with self._lock:
            for again in (True, False):
                if self._off:
                    return None
                try:
                    return work(self._open())
                except sqlite3.DatabaseError as error:
                    self.close()
                    if again and _damaged(error):
                        self._make_anew(error)
                        continue
                    self._give_up(error)
                except OSError as error:
                    self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return  # another process is slow: this once the edits are made again, the next time may go well
        if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
            if not self._unwritable:
                log.warning("Edits are not kept from here on: %s (%s).", error, self.path)
            self._unwritable = True  # what is there can still be read
            return
        self._off = True
        log.warning("Going on without the edit cache: %s (%s).", error, self.path)

    def _open(self) -> sqlite3.Connection:
        # A connection must not cross a fork: the child opens its own.
        if self._connection is None or self._pid != os.getpid():
            with self._alone():
                self._connection = self._connect()
            self._pid = os.getpid()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, check_same_thread=False)
        try:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # Losing the last edits in a power cut is harmless; waiting for the disk at each is not.
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    connection.execute(_SCHEMA)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                    raise
                self._give_up(error)
            connection.execute(_PROBE).fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_anew(self, error: Exception) -> None:
        """Put the damaged file aside, unless another process has done so meanwhile."""
        try:
            with self._alone():
                try:
                    self._connect().close()
                    return
                except sqlite3.DatabaseError as now:
                    if not _damaged(now):
                        return
                self.path.replace(self.path.with_name(self.path.name + ".damaged"))
                for end in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        except OSError as failed:
            self._give_up(failed)
            return
        log.warning("The edit cache was damaged (%s): put aside as %s.damaged and begun anew.", error, self.path)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process opens or replaces the file; where a lock cannot be written, without it."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(self.path.with_name(self.path.name + ".lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _sum(space: bytes, image: bytes, pixels: bytes) -> bytes:
    return hashlib.blake2b(space + image + pixels, digest_size=8).digest()


def _damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    # A table without the expected columns ("no such column") is as useless as a damaged file.
    return code & 0xFF in _CORRUPT or "no such column" in str(error)
