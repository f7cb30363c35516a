"""The sentences under a table that speak of its locks: costs, controls, ranks, ensembles, adaptive attacks."""

from __future__ import annotations

from bench import registry
from reports.rows import ranking
from reports.rows.controls import CALIBRATION, DATA_BUDGET
from reports.rows.row import Row
from reports.rows.worst import written_against
from reports.text.formatting import number, threat_words, with_interval
from reports.text.groups import Group, lock_name, row_name


def costs(group: Group) -> list[str]:
    """What each lock takes to make, and from its user at every image; seconds are the machine's own."""
    words = {
        "seconds": "{:,.0f} s", "steps": "{:,.0f} steps", "extra_parameters": "{:+,.0f} parameters",
        "key_ms_per_image": "key {:,.1f} ms an image", "key_megabytes": "key {:,.1f} MB of weights",
    }  # fmt: skip
    by_lock: dict[str, str] = {}
    for row in group.rows:
        known = [word.format(cost) for n, word in words.items() if (cost := row.lock_cost.get(n)) is not None]
        if row.role != "control" and known:
            by_lock.setdefault(f"{row.lock} (key {row.key})", ", ".join(known))
    if not by_lock:
        return []
    listed = "; ".join(f"{lock}: {cost}" for lock, cost in by_lock.items())
    return [f"Cost of the lock, to make and at inference (seconds of the machine that ran it): {listed}."]


def controls(group: Group) -> list[str]:
    """The controls that are present, and for each that is missing the rows that lack it and the command."""
    budgets = dict.fromkeys(
        threat_words({k: row.threat[k] for k in DATA_BUDGET if k in row.threat}).partition(", budget")[0]
        for row in group.rows
        if row.values["public_baseline"] is not None
    )
    baseline = registry.current().with_purpose("attack", "public-baseline").name
    present = [f"public baseline ({baseline}, or the floor) for {'; '.join(budgets)}"] if budgets else []
    if any(row.conditions for row in group.rows):
        present.append("key conditions")
    for row in group.controls:
        if row.lock_purpose in CALIBRATION and row.values["RP"] is not None and row.attack_purpose != "public-baseline":
            present.append(f"{row_name(group, row)}: {_calibration(row)}")
    lines = [f"Controls present: {'; '.join(present) if present else 'none'}."]
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for row in group.rows:
        for lack in row.missing:
            withheld = "advantage" if row.role == "control" else "RP"
            lacking.setdefault((lack.control, lack.command, withheld), []).append(row_name(group, row))
    for (control, command, withheld), names in lacking.items():
        lines.append(f"Missing control: {control}, so no {withheld} for {', '.join(names)}. Make it: {command}")
    return lines


def _calibration(row: Row) -> str:
    advantage, recovery = row.values["advantage"], row.values["recovery"]
    if row.lock_purpose == "must-open":
        text = f"recovery {with_interval(recovery, 2)} (must be 1 within noise)"
        if recovery is not None and recovery.high is not None and recovery.high < 0.99:
            text += " — IT IS NOT: the attack does not even undo a renaming of the outputs"
        return text
    text = f"advantage {with_interval(advantage)} (must not be above 0 beyond noise)"
    if advantage is not None and advantage.low is not None and advantage.low > 0:
        text += " — IT IS NOT: the advantages of this table are too high"
    return text


def ranks(group: Group) -> list[str]:
    """Ranks of the locks that may be ranked, as ranges where noise cannot tell them apart."""
    places = ranking.places(group.rankable())
    if not places:
        return []
    names = {row.row_key: lock_name(group, row) for row, _ in places}
    listed = [names[row.row_key] + (f" {a}" if a == b else f" {a}–{b}") for row, (a, b) in places]
    by_test = [names[row.row_key] for row, _ in places if row.ensemble is None]
    mark = f" Optimistic for {', '.join(by_test)}: no ensemble, so the worst was chosen on test." if by_test else ""
    return [f"Ranks by worst-case advantage, a range where noise cannot tell (Holm, 5 %): {', '.join(listed)}.{mark}"]


def ensembles(group: Group) -> list[str]:
    """The member that stands for each ensemble, the plain maximum of its members, and those that are missing."""
    lines = []
    for row in group.rows:
        case = row.ensemble
        if case is None:
            continue
        chosen = ", ".join(f"{member} (seed {seed})" for seed, member in case.chosen.items())
        maximum = sum(case.optimistic.values()) / len(case.optimistic)
        line = f"Ensemble v{case.version}, {case.threat}, against {row.lock}: {chosen}; plain maximum of RP over test"
        line += f" {number(maximum)} (optimistic: chosen on what it reports); {case.members - len(case.missing)} of"
        line += f" {case.members} members measured"
        lines.append(line + (f", not: {', '.join(case.missing)}." if case.missing else "."))
    if lines:
        lines.append("Tables are comparable only at the same version of the ensemble.")
    return lines


def adaptive(group: Group) -> list[str]:
    """For each lock the attacks that were written against it, or none yet."""
    written = written_against()
    by_lock = {}
    for row in group.methods:
        rows = [r for r in group.methods if r.lock == row.lock and r.attack_name in written.get(row.lock_name, ())]
        measured = [f"{r.attack} ({group.threat(r)}) RP {number(r.mean('RP'))}" for r in rows]
        known = written.get(row.lock_name)
        by_lock[row.lock] = ", ".join(measured) or ("not measured: " + ", ".join(known) if known else "none yet")
    attacked = {r.lock for r in group.methods if r.attack_purpose != "no-attack"}
    lines = [f"{lock}: {words}" for lock, words in by_lock.items() if lock in attacked]
    return [f"Adaptive, written against this lock: {'; '.join(lines)}."] if lines else []
