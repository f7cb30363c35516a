"""Whether two snapshots can be compared at all.

They cannot where the record schema, the data or the test images differ, where no row is in both,
where there are fewer seeds than the rule needs, or where the snapshot lacks a number. `gaps` finds rows that one side
cannot speak of; `differences` names what else differs, which fails no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath

from bench.errors import UserError
from bench.legible import shortened, visible
from reports.gate import sound
from reports.gate.asked import Asked
from reports.gate.certain import Certain
from reports.gate.snapshot import LATER, SEEDS, Snapshot, SnapshotRow

# Schema 2 moved notes of schema 1 into fields of their own and changed no number.
SCHEMAS = {1, 2}
"""Schemas of records whose numbers mean the same; a new one joins them once that is known."""
CANDIDATE_SEEDS = 2
"""Seeds that a candidate needs."""
AGAIN = "Make the snapshot again: bench baseline save."


def check(
    snapshot: Snapshot,
    candidate: Snapshot,
    before: Mapping[str, SnapshotRow],
    after: Mapping[str, SnapshotRow],
    seeds: Mapping[str, Sequence[int]],
    remake: Callable[[SnapshotRow | None, Sequence[int]], str],
) -> None:
    """Pass, or say which part differs.

    Args:
        snapshot, candidate: the two.
        before, after: the rows to compare of each, by row key.
        seeds: that the candidate must have, by row key.
        remake: the command that makes these seeds of a row.

    Raises:
        UserError: no verdict can be given.
    """
    if not {snapshot.record_schema, candidate.record_schema} <= SCHEMAS:
        raise UserError(
            f"not comparable: the snapshot has record schema {snapshot.record_schema}, "
            f"the candidate {candidate.record_schema}.",
            AGAIN,
        )
    if not before:
        raise UserError("not comparable: the snapshot has none of these rows.", AGAIN)
    first = next(iter(before.values()))
    if not before.keys() & after.keys():
        theirs = candidate.rows[0].words() if candidate.rows else "nothing with these seeds"
        wanted = sorted({n for numbers in seeds.values() for n in numbers}) or list(range(CANDIDATE_SEEDS))
        raise UserError(
            f"not comparable: no row of the candidate is in the snapshot (it has {theirs}; the snapshot "
            f"{first.words()}).",
            f"Make the same rows: {remake(first, wanted)}",
        )
    for key, row in before.items():
        if len(seeds[key]) < CANDIDATE_SEEDS:
            number = len(seeds[key])
            whose = "the candidate" if len({len(n) for n in seeds.values()}) == 1 else f"{row.words()}"
            more = [n for n in range(CANDIDATE_SEEDS + 1) if n not in seeds[key]][: CANDIDATE_SEEDS - number]
            raise UserError(
                f"{whose} has {number} seed{'' if number == 1 else 's'}; the rule needs {CANDIDATE_SEEDS}.",
                f"Run more: {remake(row, more)}",
            )
    for row in before.values():
        if sum(seed.status == "ok" for seed in row.seeds.values()) < max(SEEDS, len(row.seeds)):
            raise UserError(f"the snapshot's row {row.words()} has fewer than {SEEDS} seeds, or failed ones.", AGAIN)
        for number, flag in sound.distrusted(row).items():
            raise UserError(
                f"the snapshot's row {row.words()} has the flag {flag} in seed {number}: its numbers mean nothing.",
                AGAIN,
            )
        found = after.get(row.row_key)
        new = {name for seed in found.seeds.values() for name in seed.values} if found else set()
        older = set(LATER) - {name for seed in row.seeds.values() for name in seed.values}
        if names := sound.lost(row, new - older):
            raise UserError(f"the snapshot's row {row.words()} lacks {', '.join(names)} for some seed.", AGAIN)
        if found is not None:
            _check_data(row, found)
    if words := sound.uneven(before.values()):
        raise UserError(f"the snapshot's row {words}.", AGAIN)


def _check_data(before: SnapshotRow, after: SnapshotRow) -> None:
    scenario = visible(before.scenario)
    for number, new in after.seeds.items():
        old = before.seeds.get(number)
        if old is not None and new.data and old.data and new.data != old.data:
            raise UserError(
                f"not comparable: the data of {scenario} changed (seed {number}: fingerprint "
                f"{shortened(visible(old.data), 40)} in the snapshot, {new.data} in the candidate).",
                AGAIN,
            )
        # Test splits are the same for every seed.
        for other in before.seeds.values():
            for side in new.images.keys() & other.images.keys():
                if other.images[side] != new.images[side]:
                    raise UserError(
                        f"not comparable: the test images of {scenario} ({side} side) changed: digest "
                        f"{shortened(visible(other.images[side]), 40)} in the snapshot, {new.images[side]} in the "
                        "candidate.",
                        AGAIN,
                    )
            for side in new.n.keys() & other.n.keys():
                if other.n[side] != new.n[side]:
                    raise UserError(
                        f"not comparable: {scenario} has {other.n[side]} test images ({side} side) in the snapshot, "
                        f"{new.n[side]} in the candidate.",
                        AGAIN,
                    )


def gaps(snapshot: Snapshot, before: Mapping[str, SnapshotRow], asked: Asked) -> tuple[list[Certain], list[str]]:
    """Rows that only one side has: what makes the two incomparable, and what is only to be said.

    A row that the suite has and the snapshot has not cannot be judged. A row that the snapshot has of the very suite,
    and the suite has no longer, dropped out: only a new snapshot says that this was meant. Another suite may be a part.
    """
    if asked.rows is None:
        return [], []
    findings = []
    known = {row.row_key for row in snapshot.rows}
    save = f"If that is meant, save a new snapshot: bench baseline save FILE --suite {asked.suite}"
    for key in sorted(asked.rows.keys() - known):
        name = visible(asked.names.get(key, key))
        findings.append(Certain(name, f"suite {asked.suite} has it and the snapshot has not: not judged", save))
    dropped = [row.words() for row in snapshot.rows if row.row_key not in before]
    if snapshot.suite is not None and asked.suite is not None and _stem(snapshot.suite) == _stem(asked.suite):
        what = f"it dropped out of suite {asked.suite}: the snapshot has it"
        return [*findings, *(Certain(name, what, save) for name in dropped)], []
    if not dropped:
        return findings, []
    return findings, [
        f"{len(dropped)} of the snapshot's {len(snapshot.rows)} rows are not in suite {asked.suite}, so nothing is "
        f"said of them: {'; '.join(dropped)}"
    ]


def _stem(suite: str) -> str:
    return PurePath(suite).stem if suite.endswith(".toml") else suite


def differences(snapshot: Snapshot, candidate: Snapshot) -> Iterator[str]:
    """What else differs between the two and may move a number: libraries, machine, threads, LockBench."""
    where = "in the snapshot, {} in the candidate: numbers may move for that alone"
    for name in sorted(snapshot.versions.keys() | candidate.versions.keys()):
        old, new = snapshot.versions.get(name, "unknown"), candidate.versions.get(name, "unknown")
        if old != new:
            yield visible(f"{name} is {old} " + where.format(new))
    if snapshot.machine and candidate.machine and snapshot.machine != candidate.machine:
        yield visible(f"the machine is {snapshot.machine} " + where.format(candidate.machine))
    if snapshot.threads and candidate.threads and snapshot.threads != candidate.threads:
        yield f"threads are {snapshot.threads} " + where.format(candidate.threads)
    if snapshot.precision and candidate.precision and snapshot.precision != candidate.precision:
        yield visible(f"the precision is {snapshot.precision} " + where.format(candidate.precision))
    if snapshot.lockbench and candidate.lockbench and snapshot.lockbench != candidate.lockbench:
        yield visible(f"LockBench is {snapshot.lockbench} " + where.format(candidate.lockbench))


def unseen(before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow]) -> Iterator[str]:
    """Checks that are blind for want of evidence, one sentence each."""
    both = [(before[key], after[key]) for key in before if key in after]
    blind = {
        "evidence by test image in the {}, so nothing is said of a plugin that hands back what it got": [
            [any(set(seed.right) < seed.values.keys() - set(LATER) for seed in row.seeds.values()) for row in rows]
            for rows in both
        ],
        "digest of its test images in the {}, so other images would not be noticed": [
            [any(not seed.images for seed in row.seeds.values()) for row in rows] for rows in both
        ],
        "data fingerprint in the {}, so other data would not be noticed": [
            [any(not seed.data for seed in row.seeds.values()) for row in rows] for rows in both
        ],
        "parameters in the {}, so a default that changed would not be noticed": [
            [any(not row.settings.get(kind) and rows[1 - i].settings.get(kind) for kind in ("lock", "key", "attack"))
             for i, row in enumerate(rows)]
            for rows in both
        ],
    }  # fmt: skip
    for what, table in blind.items():
        for side, name in enumerate(("snapshot", "candidate")):
            rows = [pair[side].words() for pair, flags in zip(both, table, strict=True) if flags[side]]
            if rows:
                more = f" and {len(rows) - 1} rows more" if len(rows) > 1 else ""
                have = "have" if len(rows) > 1 else "has"
                yield f"{rows[0]}{more} {have} no {what.format(name)}"
