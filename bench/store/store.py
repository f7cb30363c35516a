"""Content-addressed artefacts and records on disk: atomic, resumable, safe for several runs at once.

Layout: ``artefacts/KIND/HASH/`` and ``records/HASH/`` are folders that appear by one rename, complete or not at all,
each with the checksums of its files (`bench.store.sums`). ``edits.sqlite`` caches edited images; ``locks/`` holds file
locks; ``tmp/`` what is being made, each part beside the lock of its maker; ``damaged/`` what was set aside.

What is damaged, and what does not belong into the store, stops nothing: it is named once, left out, and made again by
the next run. `bench doctor` lists it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import uuid
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.hashing import canonical, digest
from bench.legible import visible
from bench.records import SCHEMA, Record
from bench.store import clock, disk, local, locks, parts, rooms, scan, sums
from bench.store.disk import StoreError
from bench.store.index import REUSED, Entry
from bench.store.locks import MARK
from bench.store.reading import EVIDENCE, RECORD, Absent, Damaged, Stored, arrays, read
from bench.store.settings import PLAN

if TYPE_CHECKING:
    import numpy.typing as npt

log = logging.getLogger(__name__)

LOG = "log.txt"
"""A file beside a record: what its plugins printed, where they did."""
_NAMED = 3


@dataclass(frozen=True)
class DamagedRecord:
    """A record that is left out: its name in ``records/``, why, and whether it is only of another version."""

    name: str
    reason: str
    foreign: bool = False


@dataclass
class Contents:
    """What ``records/`` holds.

    Args:
        records: those that can be believed, oldest first.
        damaged: the others.
        strays: files and folders that are no records.
        without_sums: names of records that older code wrote without checksums.
    """

    records: list[Record] = field(default_factory=list)
    damaged: list[DamagedRecord] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    without_sums: list[str] = field(default_factory=list)


class Store:
    """A folder of artefacts and records.

    Args:
        root: the folder; made if ``write`` is true.
        write: False opens it for reading only.
        entropy: what keys are drawn from beside task and seed; `PLAN`: nothing. None: what the store keeps, and for a
            new store 256 random bits.

    Raises:
        UserError: the folder cannot be made or written, or is another program's, another schema's, or keeps other
            entropy.
    """

    def __init__(self, root: Path, write: bool = True, entropy: str | None = None) -> None:
        self.root = root
        self._named: set[str] = set()
        with disk.clear_errors(root):
            if write:
                self._make(entropy or secrets.token_hex(32))
            elif not (root / MARK).exists():
                raise UserError(
                    f"there is no store at {root}.", "Run something first: bench run, or name one with --store."
                )
            header = _header(root / MARK)
        if header.get("schema") != SCHEMA:
            raise UserError(
                f"the store {root} has schema {header.get('schema')}, this version writes {SCHEMA}.",
                "Use another --store; old records are not rewritten.",
            )
        self.sums_required = bool(header.get("sums"))
        """Whether everything in it was written with checksums, so that nothing may lack them."""
        self.entropy = str(header.get("entropy", PLAN))
        """What keys are drawn from beside task and seed: kept here, so that they can be drawn again."""
        if entropy is not None and entropy != self.entropy:
            raise UserError(
                f"the store {root} draws its keys from other entropy.", "Leave --entropy out, or use another --store."
            )

    def _make(self, entropy: str) -> None:
        root, mark = self.root, self.root / MARK
        if root.is_dir() and any(not _begun(p) for p in root.iterdir()) and not mark.exists():
            raise UserError(f"{root} is no store, and not empty.", "Name another folder with --store.")
        root.mkdir(parents=True, exist_ok=True)
        for name in rooms.ROOMS:
            (root / name).mkdir(exist_ok=True)
        if not mark.exists():
            soft = {"locks": locks.SOFT} if locks.chosen(root) == locks.SOFT else {}
            disk.write_once(mark, canonical({"schema": SCHEMA, "sums": True, "entropy": entropy, **soft}))
        probe = root / "tmp" / f"probe-{uuid.uuid4().hex}"
        try:
            probe.write_text("x")
        finally:
            probe.unlink(missing_ok=True)
        weakref.finalize(self, locks.share(root))  # waits while the store is being repaired

    @property
    def edits(self) -> Path:
        """The edit cache. Machines do not share a database: where they share the store, each has its own."""
        if locks.kind(self.root) == locks.SOFT:
            return local.folder() / f"edits-{digest(str(self.root.resolve()))}.sqlite"
        return self.root / "edits.sqlite"

    def artefact(self, kind: str, hash: str) -> Path:
        """Where the artefact is, or would be."""
        return self.root / "artefacts" / kind / hash

    def has(self, kind: str, hash: str) -> bool:
        """Whether the artefact is complete."""
        return self.artefact(kind, hash).is_dir()

    @contextmanager
    def making(self, kind: str, hash: str) -> Iterator[Path | None]:
        """A folder to make an artefact in, moved into place if the block ends well.

        Yields None where the artefact exists already, perhaps made meanwhile by another run, for which
        this waits. One that is damaged is named in a warning and set aside, and so is made again.

        Raises:
            StoreError: the disk is full, or refuses.
        """
        target = self.artefact(kind, hash)
        with parts.lock(self.root, f"{kind}-{hash}"):
            with disk.clear_errors(self.root):
                sound = self._is_sound(kind, hash)
            if sound:
                yield None
                return
            with parts.new(self.root) as part:
                with disk.stop_if_full(self.root):
                    yield part
                with disk.clear_errors(self.root):
                    sums.write(part)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        part.rename(target)
                    except OSError:  # a lock file was taken over from a maker that was only slow
                        if not self._is_sound(kind, hash):
                            raise

    def _is_sound(self, kind: str, hash: str) -> bool:
        target = self.artefact(kind, hash)
        if os.path.lexists(target.parent) and not target.parent.is_dir():
            self._make_way(target.parent, f"artefacts/{kind}", "it is no folder")
        if not os.path.lexists(target):
            return False
        problem = sums.problem(target, self.sums_required)
        if problem is not None:
            self._make_way(target, f"The artefact {kind} {hash[:10]}", problem)
        return problem is None

    def _make_way(self, path: Path, what: str, problem: str) -> None:
        place = self.set_aside(path)
        log.warning("%s is damaged (%s): set aside as %s and made again.", what, visible(problem), place)

    def set_aside(self, path: Path) -> Path:
        """Move ``path``, something in the store, to ``damaged/``; where it is now."""
        name = os.fsdecode(os.fsencode("-".join(path.relative_to(self.root).parts))[-200:])
        place = self.root / "damaged" / f"{name}.{uuid.uuid4().hex[:8]}"
        with disk.clear_errors(self.root):
            place.parent.mkdir(exist_ok=True)
            path.rename(place)
        return place

    def put(
        self, record: Record, evidence: Mapping[str, npt.NDArray[Any]], log: str = "", replace: bool = True
    ) -> bool:
        """Write ``record`` with its evidence; a record of the same hash is replaced, a damaged one set aside.

        Args:
            log: what its plugins printed.
            replace: whether a record of the same hash gives way.

        Returns:
            Whether it was written; False where there is one that does not give way.

        Raises:
            StoreError: the disk is full, or refuses.
        """
        from safetensors.numpy import save_file

        with parts.lock(self.root, f"record-{record.hash}"), parts.new(self.root) as part, disk.clear_errors(self.root):
            (part / RECORD).write_text(_json(record), encoding="utf-8")
            save_file({k: _contiguous(v) for k, v in evidence.items()}, part / EVIDENCE)
            if log:
                (part / LOG).write_text(log, encoding="utf-8")
            sums.write(part)
            target = self.root / "records" / record.hash
            if os.path.lexists(target):
                if self.get(record.hash) is None:
                    self.set_aside(target)
                elif not replace:
                    return False
                else:
                    old = self.root / "tmp" / uuid.uuid4().hex
                    target.rename(old)
                    part.rename(target)
                    shutil.rmtree(old, ignore_errors=True)
                    return True
            part.rename(target)
            return True

    def get(self, hash: str) -> Record | None:
        """The record of that hash; None where there is none, or it is damaged."""
        try:
            return self.read(hash).record
        except (Absent, Damaged):
            return None

    def read(self, name: str) -> Stored:
        """The record called ``name`` in ``records/`` with its files.

        Raises:
            Damaged: it cannot be believed.
            Absent: there is none.
            StoreError: it cannot be read.
        """
        folder = self.root / "records" / name
        with disk.clear_errors(self.root):
            stored = read(folder, self.sums_required)
        stored.record.provenance.reused = clock.of(folder / REUSED)
        return stored

    def reuse(self, hashes: Collection[str]) -> None:
        """Let the records that a run has just needed stand for their cells, where newer ones of the same cells do.

        Code that changed and was changed back has an older record than the code between; so have other threads.
        """
        if not hashes:
            return
        own = self.known(hashes)
        last: dict[tuple[str, int], tuple[str, str]] = {}
        for entry in scan.beside(self, own.values()):
            at = entry.row_key, entry.replicate
            last[at] = max(last.get(at, ("", "")), (entry.last, entry.hash))
        for hash, entry in own.items():
            newest, rival = last[entry.row_key, entry.replicate]
            if rival != hash:
                with suppress(OSError):  # a store that cannot be written can still be read
                    disk.write_atomically(self.root / "records" / hash / REUSED, clock.after(newest) + "\n")

    def known(self, hashes: Collection[str]) -> dict[str, Entry]:
        """The entries of those of ``hashes`` that there are and that can be believed, by hash."""
        return {entry.hash: entry for entry in scan.of(self, hashes).entries}

    def listing(self) -> list[Entry]:
        """An entry for every record that can be believed, oldest first; the others are named in a warning, once."""
        found = scan.every(self)
        self._name(found)
        return found.entries

    def load(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """The records of ``entries``, in their order, without ``provenance.inputs``: `read` has those.

        A record that is gone or damaged since it was listed is left out.
        """
        return scan.load(self, entries)

    def records(self) -> list[Record]:
        """Every record that can be believed, oldest first. What is left out is named in a warning, once.

        Of a record whose files are as they were when they were last read, the index says what they hold, without
        ``provenance.inputs``. `verified` reads all of them.
        """
        found = scan.every(self)
        self._name(found)
        return list(scan.load(self, found.entries, found.records))

    def note(self, name: str, basis: str, body: bytes | None = None) -> bytes | None:
        """What was noted in the index under ``name`` on that very ``basis``: once made, it need not be made again.

        Args:
            basis: all that it follows from, or a digest of it.
            body: what to note; None: nothing.
        """
        return scan.note(self, name, basis, body)

    def verified(self) -> list[Record]:
        """As `records`, with every file read now, whatever the index says, and with ``provenance.inputs``."""
        contents = self.contents()
        self._name(contents)
        return contents.records

    def damaged(self) -> list[DamagedRecord]:
        """The records that `records` leaves out, with the reason."""
        return self.contents().damaged

    def contents(self) -> Contents:
        """Everything in ``records/``."""
        out = Contents()
        out.strays = rooms.no_records(self.root)
        for name in rooms.records(self.root):
            if (stored := self.believed(name, out.damaged)) is not None:
                out.records.append(stored.record)
                if not stored.summed:
                    out.without_sums.append(name)
        out.records.sort(key=lambda r: (r.provenance.created, r.hash))
        return out

    def believed(self, name: str, damaged: list[DamagedRecord]) -> Stored | None:
        """The record called ``name``, read from its folder; None where there is none, or it joins the ``damaged``."""
        try:
            return self.read(name)
        except Damaged as damage:
            damaged.append(DamagedRecord(name, str(damage), damage.foreign))
        except Absent:  # taken away meanwhile
            pass
        return None

    def entries(self, room: str) -> list[Path]:
        """As `bench.store.rooms.entries`."""
        return rooms.entries(self.root, room)

    def strays(self) -> list[Path]:
        """As `bench.store.rooms.strays`."""
        return rooms.strays(self.root)

    def _name(self, contents: Contents | scan.Found) -> None:
        """One line on what is left out and was not named before."""
        damaged = [d for d in contents.damaged if d.name not in self._named]
        strays = [str(p.relative_to(self.root)) for p in self.strays()]
        strays = [name for name in strays if name not in self._named]
        self._named.update([d.name for d in damaged], strays)
        problems = []
        if damaged:
            listed = _listed([f"{visible(d.name[:40])} ({d.reason})" for d in damaged])
            problems.append(f"{_count(len(damaged), 'damaged record')} left out: {listed}")
        if strays:
            listed = _listed([visible(name[:60]) for name in strays])
            problems.append(f"{_count(len(strays), 'stray file or folder', 'stray files or folders')}: {listed}")
        if problems:
            log.warning("%s has %s. See: bench doctor --store %s", self.root, "; ".join(problems), self.root)

    def evidence(self, record: Record) -> dict[str, npt.NDArray[Any]]:
        """The per-image evidence of ``record`` by name; empty where there is none.

        Raises:
            StoreError: it cannot be read.
        """
        file = self.root / "records" / record.hash / EVIDENCE
        with disk.clear_errors(self.root):
            try:
                return arrays(file.read_bytes())
            except FileNotFoundError:
                return {}
            except Damaged as damage:
                raise StoreError(
                    f"the record {record.hash[:10]} of {self.root} is damaged: {damage}.",
                    f"See: bench doctor --store {self.root}",
                ) from None

    def leftovers(self) -> list[Path]:
        """What killed runs left half made in ``tmp/``."""
        return list(parts.leftovers(self.entries("tmp")))

    def clean(self) -> None:
        """Remove what killed runs left half made."""
        parts.clean(self.entries("tmp"))

    def alone(self) -> AbstractContextManager[None]:
        """While no other process may write to the store.

        Raises:
            UserError: one may just now.
        """
        return parts.alone(self.root)


def _begun(entry: Path) -> bool:
    """Whether ``entry`` may lie in the folder of a store that is being made, or whose making was killed."""
    if entry.name in rooms.ROOMS:
        return entry.is_dir() and not any(entry.iterdir())
    return entry.name.startswith((f".{MARK}.", locks.PROBE))


def _header(mark: Path) -> dict[str, Any]:
    try:
        header = json.loads(mark.read_bytes()) if mark.is_file() else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(
            f"{mark} is damaged: it does not say which schema the store has.",
            f"If version and store belong together, write into it: {canonical({'schema': SCHEMA, 'sums': True})}",
        )
    return header


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _contiguous(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(array)


def _json(record: Record) -> str:
    """The JSON of ``record``; a name that is no UTF-8 is escaped, and what is no JSON gives the name of its type."""
    from pydantic_core import PydanticSerializationError

    try:
        return record.model_dump_json(indent=1) + "\n"
    except PydanticSerializationError:
        value = record.model_dump()
        text = json.dumps(value, ensure_ascii=False, indent=1, default=lambda x: f"<{type(x).__name__}>")
        return re.sub("[\ud800-\udfff]", lambda match: f"\\\\u{ord(match[0]):04x}", text) + "\n"
