"""Whether two snapshots can be compared at all.

They cannot where the record schema, the ensemble version, the data or the test images differ, where no row is in both,
or where there are fewer seeds than the rule needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.errors import UserError
from bench.records import SCHEMA
from reports.gate.snapshot import SEEDS, Snapshot, SnapshotRow

# Schema 2 moved notes of schema 1 into fields of their own and changed no number.
SCHEMAS = {1, SCHEMA}
"""Schemas of records whose numbers mean the same."""
CANDIDATE_SEEDS = 2
"""Seeds that a candidate needs."""
AGAIN = "Make the snapshot again: bench baseline save."


def check(
    snapshot: Snapshot,
    candidate: Snapshot,
    before: Mapping[str, SnapshotRow],
    after: Mapping[str, SnapshotRow],
    seeds: Sequence[int],
    remake: str,
) -> None:
    """Pass, or say which part differs.

    Args:
        snapshot, candidate: the two.
        before, after: the rows to compare of each, by row key.
        seeds: of the candidate, in rows that both have.
        remake: the command that makes the candidate's rows.

    Raises:
        UserError: no verdict can be given.
    """
    if not {snapshot.record_schema, candidate.record_schema} <= SCHEMAS:
        raise UserError(
            f"not comparable: the snapshot has record schema {snapshot.record_schema}, "
            f"the candidate {candidate.record_schema}.",
            AGAIN,
        )
    if snapshot.ensemble != candidate.ensemble:
        raise UserError(
            f"not comparable: the snapshot's ensemble version is {snapshot.ensemble}, "
            f"the candidate's {candidate.ensemble}.",
            AGAIN,
        )
    if not before:
        raise UserError("not comparable: the snapshot has none of these rows.", AGAIN)
    if not seeds:
        theirs = candidate.rows[0].words() if candidate.rows else "nothing"
        ours = next(iter(before.values())).words()
        raise UserError(
            f"not comparable: no row of the candidate is in the snapshot (it has {theirs}; the snapshot {ours}).",
            f"Make the same rows: {remake}",
        )
    if len(seeds) < CANDIDATE_SEEDS:
        raise UserError(
            f"the candidate has {len(seeds)} seed; the rule needs {CANDIDATE_SEEDS}.", f"Run more: {remake}"
        )
    for row in before.values():
        if sum(seed.status == "ok" for seed in row.seeds.values()) < max(SEEDS, len(row.seeds)):
            raise UserError(f"the snapshot's row {row.words()} has fewer than {SEEDS} seeds, or failed ones.", AGAIN)
        if row.row_key in after:
            _check_data(row, after[row.row_key])


def _check_data(before: SnapshotRow, after: SnapshotRow) -> None:
    any_seed = next(iter(before.seeds.values()))
    for number, new in after.seeds.items():
        old = before.seeds.get(number)
        if old is not None and new.data and old.data and new.data != old.data:
            raise UserError(
                f"not comparable: the data of {before.scenario} changed (seed {number}: fingerprint {old.data} in the "
                f"snapshot, {new.data} in the candidate).",
                AGAIN,
            )
        # Test splits are the same for every seed.
        for side, images in new.images.items():
            if any_seed.images.get(side, images) != images:
                raise UserError(
                    f"not comparable: the test images of {before.scenario} ({side} side) changed: digest "
                    f"{any_seed.images[side]} in the snapshot, {images} in the candidate.",
                    AGAIN,
                )
