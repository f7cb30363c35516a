"""The rows of a store, place by place: a place is a task with its settings, and a model.

Nothing in a row comes from another place. So the records of one place at a time are in memory, and the rows of a place
whose records are as they were are read from the store's index, where they were noted. Their basis is every record of
the place with the state of its files, the code and the plugins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from bench import registry
from bench.hashing import digest
from bench.plan import ensemble
from bench.source_files import ROOT
from reports.rows.aggregate import order, rows
from reports.rows.row import Row

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from bench.records import Record
    from bench.store import Store
    from bench.store.index import Entry

FOLDERS = ("bench", "reports/rows", "locks", "attacks")
"""Where code and lists lie that rows follow from."""
LIBRARIES = ("numpy", "scipy", "pydantic")


def of_store(store: Store, listed: str = ensemble.CURRENT) -> list[Row]:
    """The rows of every test record of ``store``, as `reports.rows.aggregate.rows` has them.

    Args:
        listed: the ensemble whose worst cases are rows, by name.

    Raises:
        UserError: no such ensemble.
    """
    places: dict[str, list[Entry]] = {}
    for entry in newest(store.listing()):
        places.setdefault(entry.place, []).append(entry)
    return order(row for place, entries in places.items() for row in _of_place(store, place, entries, listed))


def newest(entries: Iterable[Entry]) -> list[Entry]:
    """Of each cell and replicate the entry that counts, as `reports.rows.aggregate.current` chooses among records."""
    chosen: dict[tuple[str, int], Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.here, e.last, e.status == "ok", e.hash)):
        if entry.split == "test":
            chosen[entry.row_key, entry.replicate] = entry
    return sorted(chosen.values(), key=lambda e: e.replicate)


def of_plan(store: Store, records: Sequence[Record], listed: str = ensemble.CURRENT) -> list[Row]:
    """The rows of ``records``, which ``store`` holds: those of a plan. Noted are those of the last plan alone.

    Args:
        listed: the ensemble whose worst cases are rows, by name.
    """
    known = store.known([record.hash for record in records])
    entries = [known[record.hash] for record in records if record.hash in known]
    if len(entries) < len(records):
        return rows(records, store.evidence, listed=listed)
    return _noted(store, "rows of a plan", entries, listed, lambda: rows(records, store.evidence, listed=listed))


def _of_place(store: Store, place: str, entries: Sequence[Entry], listed: str) -> list[Row]:
    return _noted(
        store,
        f"rows {listed} {place}",
        entries,
        listed,
        lambda: rows(store.load(entries), store.evidence, listed=listed),
    )


def _noted(
    store: Store, name: str, entries: Sequence[Entry], listed: str, compute: Callable[[], list[Row]]
) -> list[Row]:
    """The rows of ``entries``: as they were noted under ``name`` on the same basis, else computed and noted."""
    if not all(entry.state for entry in entries):  # changed a moment ago, or a store too small for an index
        return compute()
    states = hashlib.sha256(b"".join(entry.state for entry in entries)).hexdigest()
    basis = digest([_code(), _plugins(), listed, [[e.hash, e.last] for e in entries], states])
    note = store.note(name, basis)
    if note is not None:
        try:
            return _adapter().validate_json(note)
        except ValueError:  # damaged: made again, and noted anew
            pass
    table = compute()
    text = _adapter().dump_json(table)
    if _adapter().validate_json(text) == table:  # what JSON cannot say is made again each time
        store.note(name, basis, text)
    return table


@cache
def _adapter() -> TypeAdapter[list[Row]]:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(list[Row], config=ConfigDict(ser_json_inf_nan="constants"))


@cache
def _code() -> str:
    """Digest of the code, the lists and the libraries that rows follow from."""
    files = [f for name in FOLDERS for f in (ROOT / name).rglob("*") if f.suffix in (".py", ".toml")]
    sums = hashlib.sha256("".join(f"{name} {version(name)} " for name in LIBRARIES).encode())
    for file in sorted(files):
        sums.update(hashlib.sha256(file.read_bytes()).digest())
    return sums.hexdigest()


def _plugins() -> str:
    """Digest of what there are of plugins, guests among them."""
    return digest([repr(sorted(registry.current().all(kind).items())) for kind in ("lock", "attack", "key", "task")])
