"""Which rows of a lock may stand for its worst case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import registry
from reports.rows.row import Row


def candidates(rows: Sequence[Row]) -> list[Row]:
    """Of one lock's rows, those of an ensemble and of attacks that it does not take in; all, where there is none.

    An ensemble chooses its worst member on judge-validation images. To compare its members too would choose once more,
    on test images, so an attack that is a member stands for itself only in rows that the ensemble does not take in.
    """
    headline = [row for row in rows if row.ensemble is not None]
    if not headline:
        return list(rows)
    members = {key for row in headline if row.ensemble for key in row.ensemble.row_keys}
    return headline + [
        row for row in rows if row.ensemble is None and row.row_key not in members and not row.attack_purpose
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


def furthest(rows: Sequence[Row], validation: Mapping[str, float | None]) -> tuple[Row, bool]:
    """The row that is furthest above its public baseline, and whether judge-validation images alone chose it.

    Args:
        rows: at least one, each with RP.
        validation: by row key, the mean RP on judge-validation images. Where every row has one, it counts: the best of
            many on test images is too high by luck.
    """
    scores = [validation.get(row.row_key) for row in rows]
    known = [score for score in scores if score is not None]
    blind = len(known) == len(rows)
    reached = known if blind else [row.mean("RP") or 0.0 for row in rows]
    baselines = [row.mean("public_baseline") for row in rows]
    above = [rp - (public or 0.0) for rp, public in zip(reached, baselines, strict=True)]
    scored = reached if None in baselines else above
    best = max(zip(rows, scored, strict=True), key=lambda pair: opening(*pair))[0]
    highest = max(zip(rows, scored, strict=True), key=lambda pair: pair[1])[0]
    return best, blind and best is highest  # else test numbers took part in the choice


def written_against() -> dict[str, list[str]]:
    """Attacks by the lock they were written against."""
    adaptive: dict[str, list[str]] = {}
    for info in registry.current().all("attack").values():
        for lock in info.against:
            adaptive.setdefault(lock, []).append(info.name)
    return adaptive
