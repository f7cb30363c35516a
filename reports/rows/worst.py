"""Which rows of a lock may stand for its worst case."""

from __future__ import annotations

from collections.abc import Sequence

from bench import registry
from reports.rows.row import Row


def candidates(rows: Sequence[Row]) -> list[Row]:
    """Of one lock's rows, those of an ensemble and of attacks written against it; all, where there is no ensemble.

    An ensemble chooses its worst member on judge-validation images. To compare its members too would choose once more,
    on test images, so an attack that is a member stands for itself only in rows that the ensemble does not take in.
    """
    headline = [row for row in rows if row.ensemble is not None]
    if not headline:
        return list(rows)
    adaptive, members = written_against(), {key for row in headline if row.ensemble for key in row.ensemble.row_keys}
    return headline + [
        row for row in rows if row.attack_name in adaptive.get(row.lock_name, ()) and row.row_key not in members
    ]


def worst(rows: Sequence[Row]) -> Row | None:
    """Of one lock's rows that may stand for it, the one that opens it furthest; None where none has an advantage."""
    known = [row for row in candidates(rows) if row.mean("advantage") is not None]
    return max(known, key=lambda row: opening(row, row.mean("advantage") or 0.0), default=None)


def opening(row: Row, score: float) -> tuple[bool, bool, float]:
    """What orders rows by how far they open a lock: broken ones, then those that recover anything, then by ``score``.

    A high advantage alone is none where RP is below LP, and decides nothing where its interval is wide.
    """
    rp, lp = row.mean("RP"), row.mean("LP")
    return row.broken is True, rp is not None and lp is not None and rp > lp, score


def written_against() -> dict[str, list[str]]:
    """Attacks by the lock they were written against."""
    adaptive: dict[str, list[str]] = {}
    for info in registry.current().all("attack").values():
        for lock in info.against:
            adaptive.setdefault(lock, []).append(info.name)
    return adaptive
