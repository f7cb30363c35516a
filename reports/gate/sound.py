"""What must be true of a snapshot before a gate believes it: that nothing was edited, cut off or lost.

| check | what it guards against |
|---|---|
| `contradictions` | rows that are not what their key says, numbers that their own evidence denies |
| `lost` | a number that a row of this kind has, and some seed of it does not |
| `uneven` | a seed that some rows have and others do not |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.hashing import digest

if TYPE_CHECKING:
    from reports.gate.snapshot import SnapshotRow

ALWAYS = {"UP", "LP", "oracle", "victim_authorised"}
"""Numbers of every row whose lock was made here; a given model may come without key and victim."""
DISTRUSTED = ("not-finite", "wrong-shape", "attack-denied")
"""Flags of numbers that mean nothing, whatever their record's status."""
ROUNDING = 0.05
"""Points between a number and its evidence: records hold four decimals."""


def contradictions(rows: Sequence[SnapshotRow]) -> Iterator[str]:
    """Where a file contradicts itself, one sentence each."""
    keys = [row.row_key for row in rows]
    for row in rows:
        if keys.count(row.row_key) > 1:
            yield f"{row.words()} stands twice"
        if row.row_key != digest(row.row):
            yield f"{row.words()}: its key is not that of its settings"
        for kind, name in (("lock", row.lock_name), ("attack", row.attack_name)):
            if row.row[kind][0] != name:
                yield f"{row.words()}: its {kind} has two names"
        for number, seed in row.seeds.items():
            for name, value in seed.values.items():
                where = f"{row.words()}, seed {number}"
                if seed.size(name) < 1:
                    yield f"{where}: {name} is over no image"
                elif name in seed.right:
                    if not seed.has_bits(name):
                        yield f"{where}: the bits of {name} are not those of {seed.size(name)} images"
                        continue
                    right = seed.correct(name)
                    if right is not None and abs(100.0 * float(right.mean()) - value) >= ROUNDING:
                        yield f"{where}: {name} is {value:g}, and {100.0 * float(right.mean()):g} by its evidence"


def required(row: SnapshotRow) -> set[str]:
    """The numbers that every seed of a row has: those of its kind, and those that any seed has."""
    names = {"LP"} if row.role == "given" else set(ALWAYS)
    if row.attack_purpose != "no-attack":
        names.add("RP")
    return names.union(*(seed.values for seed in row.seeds.values()))


def lost(row: SnapshotRow, more: Collection[str] = ()) -> list[str]:
    """The numbers that some measured seed of a row lacks, among those it must have and ``more``."""
    measured = [seed for seed in row.seeds.values() if seed.status == "ok"]
    names = sorted(name for name in required(row).union(more) if any(name not in seed.values for seed in measured))
    validated = {seed.validation is not None for seed in measured if "RP" in seed.values}
    return [*names, *(["RP on validation images"] if len(validated) > 1 else [])]


def distrusted(row: SnapshotRow) -> dict[int, str]:
    """By seed, the flag that says its numbers mean nothing."""
    flagged = {n: [flag for flag in DISTRUSTED if flag in seed.flags] for n, seed in row.seeds.items()}
    return {n: flags[0] for n, flags in flagged.items() if flags}


def uneven(rows: Iterable[SnapshotRow]) -> str:
    """The first row with other seeds than the row with the most; empty where all agree."""
    listed = list(rows)
    most = max(listed, key=lambda row: len(row.seeds), default=None)
    for row in listed:
        if most is not None and set(row.seeds) != set(most.seeds):
            return f"{row.words()} has other seeds than {most.words()}"
    return ""
