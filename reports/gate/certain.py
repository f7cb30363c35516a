"""Findings that need no statistics. Each function is one check, and returns what it finds.

| check | finding |
|---|---|
| `missing` | a row or a seed is missing, failed, invalid or distrusted, or a number is no longer measured |
| `handed_back` | a lock is right on exactly the victim's images, or an attack on exactly the locked model's |
| `other_defaults` | a parameter that no row sets has another default now, so the row measures something else |
| `other_role` | a method is a control now, or the reverse: then other lines are compared |
| `fewer_keys` | fewer near or wrong keys are tried, so their highest accuracy says less |
| `spends_less` | an attack spends less than half of what it spent, whatever it still reaches |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.gate import sound
from reports.gate.lines import TOLERANCE
from reports.gate.snapshot import SPENT, Seed, SnapshotRow

HANDED_BACK = (
    ((("UP", "victim_authorised"), ("LP", "oracle")), "the lock answers as the victim does: nothing is locked"),
    ((("RP", "LP"),), "the attack answers as the locked model does: nothing was attacked"),
)
"""Pairs of numbers that must not all be right on the same images."""


@dataclass(frozen=True)
class Certain:
    """A finding that needs no statistics.

    Args:
        name: the row, in words.
        what: what is wrong.
        remedy: what to do about it.
    """

    name: str
    what: str
    remedy: str


def missing(
    before: Mapping[str, SnapshotRow],
    after: Mapping[str, SnapshotRow],
    seeds: Mapping[str, Sequence[int]],
    remake: Callable[[SnapshotRow | None, Sequence[int]], str],
) -> tuple[list[Certain], list[str]]:
    """What the candidate lacks, and the keys of the rows that are whole.

    Args:
        before, after: rows of the snapshot and of the candidate, by row key.
        seeds: that the candidate must have, by row key.
        remake: the command that makes these seeds of a row.
    """
    findings: list[Certain] = []
    whole: list[str] = []
    for key, row in before.items():
        if key not in after:
            remedy = f"Run it: {remake(row, seeds[key])}. If it was changed on purpose, save a new snapshot."
            findings.append(Certain(row.words(), "missing from the candidate", remedy))
            continue
        lacking = [n for n in seeds[key] if n not in after[key].seeds]
        present = {n: after[key].seeds[n] for n in seeds[key] if n not in lacking}
        bad = {n: f"{seed.status}: {seed.error}" for n, seed in present.items() if seed.status != "ok"}
        for n, flag in sound.distrusted(after[key]).items():
            bad.setdefault(n, f"has the flag {flag}, so its numbers mean nothing (see docs/reference/flags.md#{flag})")
        if lacking:
            numbers = ", ".join(map(str, lacking))
            what = f"seed {numbers} missing from the candidate"
            findings.append(Certain(row.words(), what, f"Run it: {remake(row, lacking)}"))
        for n, what in bad.items():
            remedy = f"Mend it and run again: {remake(row, [n])}"
            findings.append(Certain(row.words(), f"seed {n} {what}", remedy))
        unmeasured = sound.lost(after[key], sound.required(row))
        if unmeasured and not lacking and not bad:
            what = f"{', '.join(unmeasured)} no longer measured"
            remedy = f"Run it with its key and controls: {remake(row, seeds[key])}"
            findings.append(Certain(row.words(), what, remedy))
        if not (lacking or bad or unmeasured):
            whole.append(key)
    return findings, whole


def handed_back(before: SnapshotRow, after: SnapshotRow) -> list[Certain]:
    """Whether a plugin hands back what it got.

    It does with every seed of the candidate, and did with at most one of the snapshot's.
    """
    if before.lock_purpose:
        return []
    findings = []
    now, then = list(after.seeds.values()), list(before.seeds.values())
    for pairs, what in HANDED_BACK:
        if all(_agree(seed, pairs) for seed in now) and sum(_agree(seed, pairs) for seed in then) <= 1:
            name = pairs[-1][0]
            old, new = (np.mean([seed.values[name] for seed in pool]) for pool in (then, now))
            # An attack that never reached anything rightly hands back the model.
            if abs(new - old) > TOLERANCE[name]:
                findings.append(Certain(before.words(), what, "Look at what the plugin returns."))
    return findings


def _agree(seed: Seed, pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the two numbers of every pair are right on exactly the same images."""
    for name, other in pairs:
        first, second = seed.correct(name), seed.correct(other)
        if first is None or second is None or not np.array_equal(first, second):
            return False
    return True


def other_defaults(before: SnapshotRow, after: SnapshotRow) -> list[tuple[str, Certain]]:
    """Parameters that have another value under the same row key, each with its plugin's kind and name."""
    findings = []
    for kind, old in before.settings.items():
        new = after.settings.get(kind, {})
        for name in sorted(old.keys() & new.keys()):
            same_file = name == "file" and old.get("digest") and old["digest"] == new.get("digest")  # as in the row key
            if old[name] != new[name] and not same_file:
                what = f"the default of {kind}.{name} was {old[name]} and is {new[name]}"
                remedy = "Take it back; if it was changed on purpose, save a new snapshot."
                findings.append((f"{kind} {before.row[kind][0]}", Certain(before.words(), what, remedy)))
    return findings


def other_role(before: SnapshotRow, after: SnapshotRow) -> list[tuple[str, Certain]]:
    """Lock or attack with another purpose under the same row key, each with its plugin's kind and name."""
    findings = []
    for kind, old, new in (
        ("lock", before.lock_purpose, after.lock_purpose),
        ("attack", before.attack_purpose, after.attack_purpose),
    ):
        if old != new:
            name = before.row[kind][0]
            what = f"the {kind} {name} was {_role(old)} and is {_role(new)}"
            remedy = "Take it back; if it was changed on purpose, save a new snapshot."
            findings.append((f"{kind} {name}", Certain(before.words(), what, remedy)))
    return findings


def _role(purpose: str) -> str:
    return f"a control ({purpose})" if purpose else "no control"


def fewer_keys(before: SnapshotRow, after: SnapshotRow) -> list[Certain]:
    """Kinds of keys of which a seed tries fewer than it did, or, where no seed is shared, than any seed did."""
    shared = sorted(before.seeds.keys() & after.seeds.keys())
    parts = []
    for kind in sorted(set().union(*(seed.keys for seed in before.seeds.values()))):
        then = {n: seed.keys.get(kind, 0) for n, seed in before.seeds.items()}
        now = {n: seed.keys.get(kind, 0) for n, seed in after.seeds.items()}
        pairs = [(now[n], then[n], f" in seed {n}") for n in shared] or [(min(now.values()), min(then.values()), "")]
        parts += [f"{kind}: {new}, once {old}{where}" for new, old, where in pairs if new < old][:1]
    if not parts:
        return []
    remedy = "Find what leaves them out; if it was changed on purpose, save a new snapshot."
    return [Certain(before.words(), f"fewer keys are tried ({'; '.join(parts)})", remedy)]


def spends_less(before: SnapshotRow, after: SnapshotRow) -> list[Certain]:
    """What the attack spent less than half of, with every candidate seed against every seed of the snapshot."""
    parts = []
    for name in sorted(set.intersection(*(set(seed.spent) for seed in before.seeds.values()))):
        least = min(seed.spent[name] for seed in before.seeds.values())
        most = max(seed.spent.get(name, 0) for seed in after.seeds.values())
        if 2 * most < least:
            parts.append(f"{most} {SPENT[name]} at most, once {least} at least")
    if not parts:
        return []
    remedy = "Find what stops it; if it was changed on purpose, save a new snapshot."
    return [Certain(before.words(), f"the attack spends less: {'; '.join(parts)}", remedy)]
