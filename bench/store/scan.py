"""The records of a store by their entries: from the index where files are as they were, else from their folders."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from bench.records import Record
from bench.store import disk, rooms
from bench.store.index import BATCH, NAME, REUSED, Entry, Index, entry_of, is_faithful, is_settled, state_of

if TYPE_CHECKING:
    from bench.store.store import DamagedRecord, Store

LEAST = 200
"""Records from which there is an index: fewer are read in no time."""


@dataclass
class Found:
    """What a scan found.

    Args:
        entries: of the records that can be believed.
        records: those of them that the index does not hold, by hash.
        damaged: records that cannot be believed.
    """

    entries: list[Entry] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    damaged: list[DamagedRecord] = field(default_factory=list)


def every(store: Store) -> Found:
    """Every record of ``store``, oldest first. The index has them all after it, where it can be written."""
    names = rooms.records(store.root)
    if len(names) < LEAST:
        found = _scanned(store, names, None)
    else:
        with Index(store.root, store.sums_required) as index, _nothing_collected():
            known = index.entries()
            found = _scanned(store, names, index, known)
            if gone := known.keys() - {entry.hash for entry in found.entries}:
                index.remove(gone)
    found.entries.sort(key=attrgetter("created", "hash"))
    return found


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While no garbage is looked for: 100,000 entries are none, and to look through them takes a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def of(store: Store, hashes: Collection[str]) -> Found:
    """The records of ``hashes``, as far as ``store`` has them."""
    names = list(dict.fromkeys(hashes))
    if len(names) < LEAST and not (store.root / NAME).exists():
        return _scanned(store, names, None)
    with Index(store.root, store.sums_required) as index:
        return _scanned(store, names, index, index.of(names))


def beside(store: Store, entries: Iterable[Entry]) -> list[Entry]:
    """The entries of all records of the cells and replicates of ``entries``."""
    places = {(entry.row_key, entry.replicate) for entry in entries}
    if not (store.root / NAME).exists():
        found = every(store).entries
    else:
        with Index(store.root, store.sums_required) as index:
            new, near = set(rooms.records(store.root)) - index.hashes(), index.beside(places)
            found = _scanned(store, sorted(new | near), index, index.of(sorted(near))).entries
    return [entry for entry in found if (entry.row_key, entry.replicate) in places]


def load(store: Store, entries: Sequence[Entry], records: Mapping[str, Record] | None = None) -> Iterator[Record]:
    """The records of ``entries``, in their order; of those in ``records`` these, of the others what the index holds."""
    there = records or {}
    with Index(store.root, store.sums_required) if (store.root / NAME).exists() else nullcontext() as index:
        for start in range(0, len(entries), BATCH):
            part = entries[start : start + BATCH]
            indexed = [] if index is None else [entry for entry in part if entry.hash not in there]
            loaded = {} if index is None else index.records(indexed)
            for entry in part:
                record = there.get(entry.hash) or loaded.get(entry.hash)
                if record is None and (stored := store.believed(entry.hash, [])) is not None:
                    record = stored.record
                    if index is not None:
                        record.provenance.inputs = {}
                if record is not None:
                    yield record


def note(store: Store, name: str, basis: str, body: bytes | None = None) -> bytes | None:
    """What is noted under ``name`` on that ``basis``, once ``body`` is where it is given; None without an index."""
    if not (store.root / NAME).exists():
        return None
    with Index(store.root, store.sums_required) as index:
        if body is not None:
            index.write_note(name, basis, body)
        return index.note(name, basis) if body is None else body


def _scanned(
    store: Store,
    names: Sequence[str],
    index: Index | None,
    known: Mapping[str, Entry] | None = None,
) -> Found:
    """The records called ``names``, each read unless it is ``known`` and in the same state; new ones are entered."""
    found = Found()
    fresh: list[tuple[Record, Entry]] = []

    def enter() -> None:
        if index is None or not index.add(fresh):
            found.records.update((record.hash, record) for record, _ in fresh)
        fresh.clear()

    there = {} if known is None else known
    with disk.clear_errors(store.root):
        try:
            folder = os.open(store.root / "records", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return found
    try:
        for name in names:
            entry = there.get(name)
            if entry is not None and entry.state == state_of(folder, name, bool(entry.reused)):
                found.entries.append(entry)
                continue
            state = None if index is None else state_of(folder, name, (store.root / "records" / name / REUSED).exists())
            stored = store.believed(name, found.damaged)
            if stored is None:
                continue
            record, entry = stored.record, entry_of(stored.record, stored.summed)
            if index is None:
                found.records[name] = record
            else:
                record.provenance.inputs = {}
                if state is not None and is_settled(state) and is_faithful(record):
                    entry = entry._replace(state=state)
                    fresh.append((record, entry))
                else:
                    found.records[name] = record
            found.entries.append(entry)
            if len(fresh) == BATCH:
                enter()
        enter()
    finally:
        os.close(folder)
    return found
