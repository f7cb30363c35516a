"""The records of all submissions, and whose record stands for each row.

A row comes from one submission, so that nobody's seeds join another's. The maintainers' own stands first, then the one
with the most seeds. The others are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.plan.wording import in_short
from bench.records import Record
from bench.store import Store, archive
from reports.board import folder
from reports.board.folder import Entry


@dataclass
class Pool:
    """What a leaderboard is made of.

    Args:
        entries: the submissions, in the order in which they count.
        records: of those rows that count.
        sources: by row key, the submission that a row comes from.
        others: by row key, submissions that measured the row too.
        notes: what a reader should know of the choice.
    """

    entries: list[Entry]
    records: list[Record] = field(default_factory=list)
    sources: dict[str, Entry] = field(default_factory=dict)
    others: dict[str, list[Entry]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(records: Path, store: Store) -> Pool:
    """The submissions of the folder ``records``, their records put into ``store``.

    Raises:
        UserError: as `reports.board.folder.entries`, and as `bench.store.archive.read`.
    """
    pool = Pool(folder.entries(records))
    rows: dict[str, dict[int, list[Record]]] = {}
    for i, entry in enumerate(pool.entries):
        archive.load(entry.archive, store, mark=entry.card.third_party)
        for record, _ in archive.read(entry.archive):
            if record.split == "test":
                rows.setdefault(record.row_key, {}).setdefault(i, []).append(record)
    for key, by_entry in rows.items():
        best, *rest = sorted(by_entry, key=lambda i: (pool.entries[i].card.third_party, -len(by_entry[i]), i))
        pool.sources[key] = pool.entries[best]
        if rest:
            pool.others[key] = [pool.entries[i] for i in rest]
        pool.notes += _differences(pool, by_entry, best, rest)
        pool.records += _stored(store, by_entry[best])
    return pool


def _stored(store: Store, records: list[Record]) -> Iterator[Record]:
    """The same records as the store has them: marked, where they are another's."""
    for record in records:
        if (own := store.get(record.hash)) is not None:
            yield own


def _differences(pool: Pool, by_entry: dict[int, list[Record]], best: int, rest: list[int]) -> Iterator[str]:
    """Where two submissions measured one row and seed, and do not say the same."""
    ours = {r.cell.replicate: r for r in by_entry[best]}
    for i in rest:
        for record in by_entry[i]:
            first = ours.get(record.cell.replicate)
            if first is not None and first.hash != record.hash and first.RP is not None and record.RP is not None:
                yield (
                    f"{in_short(record.cell)}: RP {first.RP.value:.1f} in {pool.entries[best].name}, which counts, and "
                    f"{record.RP.value:.1f} in {pool.entries[i].name}"
                )
