"""Which rows of a lock may stand for its worst case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench import registry

if TYPE_CHECKING:
    from reports.rows.aggregate import Row


def candidates(rows: Sequence[Row]) -> list[Row]:
    """Of one lock's rows, those of an ensemble and of attacks written against it; all, where there is no ensemble.

    An ensemble picks its worst member on judge-validation; its members beside it would be picked on test once more.
    """
    headline = [row for row in rows if row.ensemble is not None]
    if not headline:
        return list(rows)
    written = written_against()
    return headline + [row for row in rows if row.attack_name in written.get(row.lock_name, ())]


def worst(rows: Sequence[Row]) -> Row | None:
    """Of one lock's rows that may stand for it, the one with the highest advantage; None where none has any."""
    known = [(value, row) for row in candidates(rows) if (value := row.mean("advantage")) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def written_against() -> dict[str, list[str]]:
    """Attacks by the lock they were written against."""
    written: dict[str, list[str]] = {}
    for info in registry.find_all("attack").values():
        for lock in info.against:
            written.setdefault(lock, []).append(info.name)
    return written
