"""The rows of all submissions, and which submission stands for each.

A row comes from one submission, with the controls of that very submission: nobody's seeds join another's. The
maintainers' own stands first, then the one with the most seeds. The others are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.legible import visible
from bench.plan.wording import in_short
from bench.records import Record
from bench.store import Store, archive
from reports.board import code, folder
from reports.board.folder import Entry
from reports.rows import aggregate
from reports.rows.ensemble import worst_cases
from reports.rows.row import Row

Place = tuple[str, str]
"""Row key and status: what a row is found by."""


@dataclass
class Pool:
    """What a leaderboard is made of.

    Args:
        entries: the submissions, in the order in which they count.
        rows: those that count, in table order.
        records: what each row was made of.
        sources: the submission that each row comes from.
        others: submissions that measured the row too.
        changed: lock, key and attack of each row whose code is another by now; rows of today's code have none.
        notes: what a reader should know of the choice.
    """

    entries: list[Entry]
    rows: list[Row] = field(default_factory=list)
    records: dict[Place, list[Record]] = field(default_factory=dict)
    sources: dict[Place, Entry] = field(default_factory=dict)
    others: dict[Place, list[Entry]] = field(default_factory=dict)
    changed: dict[Place, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def n_records(self) -> int:
        """Records that count, each once."""
        return len({record.hash for records in self.records.values() for record in records})


@dataclass(frozen=True)
class _Table:
    """The rows of one submission by their place, and the records of each."""

    rows: dict[Place, Row]
    records: dict[Place, list[Record]]


class Stores:
    """A store for each submission, so that nobody's records stand for another's of the same hash.

    A hash is of what went into a number, and says nothing of the number.

    Args:
        root: a folder for them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._of: dict[tuple[str | None, str], Store] = {}

    def add(self, entry: Entry) -> tuple[Store, list[Record]]:
        """The store of ``entry`` and its records there."""
        store = Store(self._root / entry.archive.stem)
        hashes = archive.load(entry.archive, store, mark=entry.card.third_party).hashes
        records = list(_stored(store, hashes))
        for record in records:
            self._of.setdefault((record.third_party, record.hash), store)
        return store, records

    def evidence(self, record: Record) -> Mapping[str, Any]:
        """Per-image arrays of ``record``, by name."""
        return self._of[record.third_party, record.hash].evidence(record)


def read(records: Path, stores: Stores) -> Pool:
    """The submissions of the folder ``records``, their records put into ``stores``.

    Raises:
        UserError: as `reports.board.folder.entries`, and as `bench.store.archive.read`.
    """
    pool = Pool(folder.entries(records))
    found: dict[Place, list[tuple[Entry, _Table]]] = {}
    sources: dict[tuple[str, str], list[tuple[Entry, frozenset[str]]]] = {}
    for entry in pool.entries:
        store, own = stores.add(entry)
        for plugin, digests in code.of_guests(own).items():
            sources.setdefault(plugin, []).append((entry, digests))
        table = _table(aggregate.current(own), store)
        for place in table.rows:
            found.setdefault(place, []).append((entry, table))
    rows = []
    for place, tables in found.items():
        tables.sort(key=lambda pair: (pair[0].card.third_party, -len(pair[1].rows[place].seeds)))
        (source, table), *rest = tables
        rows.append(table.rows[place])
        pool.records[place], pool.sources[place] = table.records[place], source
        pool.changed[place] = code.changed(table.records[place])
        if rest:
            pool.others[place] = [entry for entry, _ in rest]
        for entry, other in rest:
            pool.notes += _differences(source, table.records[place], entry, other.records[place])
    pool.notes += _namesakes(sources)
    pool.rows = aggregate.order(rows)
    return pool


def _table(records: list[Record], store: Store) -> _Table:
    by_place: dict[Place, list[Record]] = {}
    for record in [*records, *(record for record, _ in worst_cases(records))]:
        by_place.setdefault((record.row_key, record.status), []).append(record)
    rows = {(row.row_key, row.status): row for row in aggregate.rows(records, store.evidence)}
    return _Table(rows, by_place)


def _stored(store: Store, hashes: Sequence[str]) -> Iterator[Record]:
    """The records of these hashes as the store has them: marked, where they are another's."""
    for hash in hashes:
        if (own := store.get(hash)) is not None:
            yield own


def _namesakes(sources: Mapping[tuple[str, str], list[tuple[Entry, frozenset[str]]]]) -> Iterator[str]:
    """Plugins of one name that submissions made from different source."""
    for (kind, name), pairs in sorted(sources.items()):
        if len({digests for _, digests in pairs}) > 1:
            names = ", ".join(entry.name for entry, _ in pairs)
            yield f"{kind} {visible(name)}: its source is not the same in {names}; ask for another name"


def _differences(source: Entry, ours: list[Record], entry: Entry, theirs: list[Record]) -> Iterator[str]:
    """Where two submissions measured one row and seed, and do not say the same."""
    by_seed = {r.cell.replicate: r for r in ours}
    for record in theirs:
        first = by_seed.get(record.cell.replicate)
        if first is None or first.RP is None or record.RP is None:
            continue
        if first.hash != record.hash or first.RP.value != record.RP.value:
            yield (
                f"{in_short(record.cell)}: RP {first.RP.value:.1f} in {source.name}, which counts, and "
                f"{record.RP.value:.1f} in {entry.name}"
            )
