"""Which rows of a lock may stand for its worst case."""

from __future__ import annotations

from collections.abc import Sequence

from bench import registry
from reports.rows.row import Row


def candidates(rows: Sequence[Row]) -> list[Row]:
    """Of one lock's rows, those of an ensemble and of attacks written against it; all, where there is no ensemble.

    An ensemble chooses its worst member on judge-validation images. To compare its members too would choose once more,
    on test images.
    """
    headline = [row for row in rows if row.ensemble is not None]
    if not headline:
        return list(rows)
    adaptive = written_against()
    return headline + [row for row in rows if row.attack_name in adaptive.get(row.lock_name, ())]


def worst(rows: Sequence[Row]) -> Row | None:
    """Of one lock's rows that may stand for it, the one with the highest advantage; None where none has any."""
    known = [(value, row) for row in candidates(rows) if (value := row.mean("advantage")) is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def written_against() -> dict[str, list[str]]:
    """Attacks by the lock they were written against."""
    adaptive: dict[str, list[str]] = {}
    for info in registry.current().all("attack").values():
        for lock in info.against:
            adaptive.setdefault(lock, []).append(info.name)
    return adaptive
