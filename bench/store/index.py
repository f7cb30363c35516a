"""What the records of a store said when their files were last read: ``index.sqlite`` beside them, never the truth.

An entry counts as long as the record's folder and its files are in the very state in which they were read and believed:
the same inodes, sizes and times of change. Whatever else there is, is read from its folder. An index that is missing,
of other code or damaged is made anew; where it cannot be written, it is done without.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from bench.hashing import canonical
from bench.records import Cell, Record
from bench.source_files import ROOT
from bench.store.reading import EVIDENCE, RECORD
from bench.store.sums import SUMS

NAME = "index.sqlite"
REUSED = "reused"
"""A file beside a record, under no checksum: when a run last needed it and found it."""
SETTLED = 2.0
"""Seconds from a record's last change until it is entered: of two in one tick of a clock, one would not show."""
BATCH = 500
"""Entries that are read or written at once."""
BELIEF = ("records", "threat", "params", "selection", "hashing", "store/reading", "store/sums", "store/index")
"""Modules of this package that decide what is believed of a record: with another one, none of the entries count."""
TABLES = """
CREATE TABLE version (text TEXT NOT NULL);
CREATE TABLE entries (
    hash TEXT PRIMARY KEY, row_key TEXT NOT NULL, replicate INTEGER NOT NULL, split TEXT NOT NULL,
    status TEXT NOT NULL, created TEXT NOT NULL, reused TEXT NOT NULL, here INTEGER NOT NULL, summed INTEGER NOT NULL,
    cell TEXT NOT NULL, place TEXT NOT NULL, state BLOB NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX places ON entries (row_key, replicate);
CREATE TABLE bodies (hash TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE cells (digest TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, basis TEXT NOT NULL, body BLOB NOT NULL);
"""


class Entry(NamedTuple):
    """What a list of records needs of one of them.

    Args:
        here: whether it was measured here, and not imported.
        summed: whether checksums covered it.
        cell: digest of its cell, replicate apart.
        place: its task with all settings, and its model, in one word.
        state: that of its files when they were read; empty where they were changed too short a time before.
    """

    hash: str
    row_key: str
    replicate: int
    split: str
    status: str
    created: str
    reused: str
    here: bool
    summed: bool
    cell: str
    place: str
    state: bytes = b""

    @property
    def complete(self) -> bool:
        """As `Record.complete`."""
        return bool(self.here) and self.status != "failed"

    @property
    def last(self) -> str:
        """As `Record.last`."""
        return max(self.created, self.reused)


def entry_of(record: Record, summed: bool) -> Entry:
    """The entry of ``record``."""
    cell, origin = record.cell, record.provenance
    digest = hashlib.sha256(_cell_body(cell)).hexdigest()[:32]
    return Entry(
        origin.hash, record.row_key, cell.replicate, record.split, record.status, origin.created, origin.reused,
        record.third_party is None, summed, digest, canonical([cell.name, cell.model_name, cell.task_settings]),
    )  # fmt: skip


def state_of(records: int, name: str, reused: bool) -> bytes | None:
    """The state of the folder of a record and its files; None where one is missing.

    Args:
        records: descriptor of the folder of all records.
        name: of the record's folder.
        reused: whether the file that says when it was last needed is among them.
    """
    files = (RECORD, EVIDENCE, SUMS, REUSED) if reused else (RECORD, EVIDENCE, SUMS)
    numbers: list[int] = []
    try:
        for each in (name, *(f"{name}/{file}" for file in files)):
            s = os.stat(each, dir_fd=records)  # of a relative path: half the time of a full one
            numbers += s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
    except (OSError, ValueError):
        return None
    return struct.pack(f"<{len(numbers)}q", *numbers)


def is_settled(state: bytes) -> bool:
    """Whether what is in ``state`` was last changed long enough ago for another change to show."""
    numbers = struct.unpack(f"<{len(state) // 8}q", state)
    newest: int = max(*numbers[2::4], *numbers[3::4])
    return newest < (time.time() - SETTLED) * 1e9


@cache
def _belief() -> str:
    """Digest of the code that decides what is believed."""
    return hashlib.sha256(b"".join((ROOT / "bench" / f"{name}.py").read_bytes() for name in BELIEF)).hexdigest()


def _cell_body(cell: Cell) -> bytes:
    return cell.model_dump_json(exclude={"replicate"}).encode()


def _stored(entry: Entry) -> tuple[Any, ...]:
    """The fields as the database has them, whose truths are numbers."""
    return tuple(int(field) if isinstance(field, bool) else field for field in entry)


def _sum(fields: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(fields).encode())


class Index:
    """The index of the store at ``root``; a context.

    Args:
        root: the store.
        sums_required: whether a record without checksums is damaged there.
    """

    def __init__(self, root: Path, sums_required: bool) -> None:
        self._file = root / NAME
        self._version = canonical([_belief(), sums_required])
        self._cells: dict[str, Cell] = {}
        self._db = self._opened()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._db is not None:
            self._db.close()

    def entries(self) -> dict[str, Entry]:
        """Every entry by hash."""
        return {entry.hash: entry for entry in self._select("SELECT * FROM entries", ())}

    def of(self, hashes: Sequence[str]) -> dict[str, Entry]:
        """Those of ``hashes`` that it has."""
        out: dict[str, Entry] = {}
        for start in range(0, len(hashes), BATCH):
            part = canonical(hashes[start : start + BATCH])
            query = "SELECT * FROM entries WHERE hash IN (SELECT value FROM json_each(?))"
            out |= {entry.hash: entry for entry in self._select(query, (part,))}
        return out

    def hashes(self) -> set[str]:
        """Of all entries."""
        return {row[0] for row in self._rows("SELECT hash FROM entries", ())}

    def beside(self, places: Iterable[tuple[str, int]]) -> set[str]:
        """Hashes of the entries of cells, each by row key and replicate."""
        query = "SELECT hash FROM entries WHERE row_key = ? AND replicate = ?"
        return {row[0] for place in places for row in self._rows(query, place)}

    def records(self, entries: Sequence[Entry]) -> dict[str, Record]:
        """The records of at most `BATCH` entries by hash, without ``provenance.inputs``; some may be missing."""
        query = "SELECT hash, body FROM bodies WHERE hash IN (SELECT value FROM json_each(?))"
        bodies = dict(self._rows(query, (canonical([entry.hash for entry in entries]),)))
        found = {entry.hash: self._record(entry, bodies.get(entry.hash)) for entry in entries}
        return {hash: record for hash, record in found.items() if record is not None}

    def _record(self, entry: Entry, body: bytes | None) -> Record | None:
        cell = self._cell(entry.cell)
        if cell is None or body is None:
            return None
        try:
            record = _unpacked(body, cell.model_copy(update={"replicate": entry.replicate}))
        except (ValueError, TypeError, zlib.error):
            self._discard()
            return None
        record.provenance.reused = entry.reused
        return record if record.hash == entry.hash else None

    def _cell(self, digest: str) -> Cell | None:
        if digest not in self._cells:  # cells of one row share it
            rows = list(self._rows("SELECT body FROM cells WHERE digest = ?", (digest,)))
            if not rows:
                return None
            try:
                body = zlib.decompress(rows[0][0])
                if hashlib.sha256(body).hexdigest()[:32] != digest:
                    raise ValueError
                self._cells[digest] = Cell.model_validate({**_json(body), "replicate": 0})
            except (ValueError, TypeError, zlib.error):
                self._discard()
                return None
        return self._cells[digest]

    def add(self, records: Sequence[tuple[Record, Entry]]) -> bool:
        """Enter each record with its entry; whether that went well."""
        entries = [(*fields, _sum(fields)) for _, entry in records for fields in [_stored(entry)]]
        bodies = [(record.hash, _packed(record)) for record, _ in records]
        cells = {entry.cell: record.cell for record, entry in records}
        with self._writing() as db:
            if db is not None:
                db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", entries)
                db.executemany("INSERT OR REPLACE INTO bodies VALUES (?, ?)", bodies)
                packed = [(digest, zlib.compress(_cell_body(cell), 1)) for digest, cell in cells.items()]
                db.executemany("INSERT OR IGNORE INTO cells VALUES (?, ?)", packed)
        return self._db is not None

    def remove(self, hashes: Iterable[str]) -> None:
        """Take the entries of ``hashes`` out."""
        with self._writing() as db:
            if db is not None:
                listed = [(hash,) for hash in hashes]
                db.executemany("DELETE FROM entries WHERE hash = ?", listed)
                db.executemany("DELETE FROM bodies WHERE hash = ?", listed)

    def note(self, name: str, basis: str) -> bytes | None:
        """What was noted under ``name`` on that very ``basis``; None where nothing was."""
        rows = list(self._rows("SELECT body FROM notes WHERE name = ? AND basis = ?", (name, basis)))
        with suppress(zlib.error, IndexError):
            return zlib.decompress(rows[0][0])
        return None

    def write_note(self, name: str, basis: str, body: bytes) -> None:
        """Note ``body``, which follows from ``basis``, in the place of what is there under ``name``."""
        with self._writing() as db:
            if db is not None:
                db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (name, basis, zlib.compress(body, 1)))

    def _select(self, query: str, values: Sequence[Any]) -> Iterator[Entry]:
        for row in self._rows(query, values):
            if _sum(row[:-1]) != row[-1]:
                self._discard()
                return
            yield Entry._make(row[:-1])

    def _rows(self, query: str, values: Sequence[Any]) -> Iterator[Any]:
        if self._db is None:
            return
        try:
            yield from self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)

    def _writing(self) -> _Transaction:
        return _Transaction(self)

    def _opened(self) -> sqlite3.Connection | None:
        """The file, of this version; None where there is none that can be used."""
        for _ in range(2):
            with suppress(OSError):
                if not stat.S_ISREG(os.lstat(self._file).st_mode):
                    return None
            try:
                return self._connected()
            except sqlite3.OperationalError:  # another run writes, or nobody may: it can still be read, perhaps
                return self._readable()
            except sqlite3.Error:
                with suppress(OSError):
                    self._file.unlink()
        return None

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=10, isolation_level=None)
        try:
            if not _is_of(db, self._version):
                db.execute("BEGIN IMMEDIATE")
                if not _is_of(db, self._version):  # nor has another run made it so meanwhile
                    for name in ("version", "entries", "bodies", "cells", "notes"):
                        db.execute(f"DROP TABLE IF EXISTS {name}")
                    for command in TABLES.strip().split(";")[:-1]:
                        db.execute(command)
                    db.execute("INSERT INTO version VALUES (?)", (self._version,))
                db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _readable(self) -> sqlite3.Connection | None:
        try:
            db = sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            if _is_of(db, self._version):
                return db
            db.close()
        except (sqlite3.Error, ValueError):
            pass
        return None

    def _give_up(self, error: sqlite3.Error) -> None:
        """Do without it, and throw it away where it is damaged."""
        if isinstance(error, sqlite3.OperationalError):
            if self._db is not None:
                self._db.close()
            self._db = None
        else:
            self._discard()

    def _discard(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None
        with suppress(OSError):
            self._file.unlink()


class _Transaction:
    """A block whose changes are written at once, or not at all; it gets None where nothing can be written."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __enter__(self) -> sqlite3.Connection | None:
        try:
            if self._index._db is not None:
                self._index._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._index._give_up(error)
        return self._index._db

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        db = self._index._db
        if db is None:
            return isinstance(error, sqlite3.Error)
        try:
            db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failed:
            self._index._give_up(failed)
        if isinstance(error, sqlite3.Error):
            self._index._give_up(error)
            return True
        return False


def _is_of(db: sqlite3.Connection, version: str) -> bool:
    try:
        return db.execute("SELECT text FROM version").fetchall() == [(version,)]
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return False
        raise


def _packed(record: Record) -> bytes:
    """All of ``record`` but its cell and the inputs of its hash, which are most of it."""
    return zlib.compress(record.model_dump_json(exclude={"cell": True, "provenance": {"inputs"}}).encode(), 1)


def _unpacked(body: bytes, cell: Cell) -> Record:
    return Record.model_validate({**_json(zlib.decompress(body)), "cell": cell})


def is_faithful(record: Record) -> bool:
    """Whether the index gives back ``record``, which has no inputs, as it is: it cannot say a NaN, for one."""
    try:
        return _unpacked(_packed(record), record.cell) == record
    except (ValueError, TypeError):
        return False


def _json(body: bytes) -> Any:
    from pydantic_core import from_json

    return from_json(body)
