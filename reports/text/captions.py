"""What every table shares: its groups, and the sentences that stand under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench import registry
from reports.rows import budget_surface as surface
from reports.rows import ranking as ranks
from reports.rows.controls import CALIBRATION, DATA_BUDGET
from reports.rows.intervals import IMAGES, NESTED, T
from reports.rows.row import MARGIN, Row
from reports.rows.statistics import minimal_effect
from reports.rows.worst import written_against
from reports.text.formatting import (
    TRANSDUCTIVE,
    first_line,
    flat,
    number,
    seeds_words,
    threat_terms,
    threat_words,
    with_interval,
)

COST = 6.0
"""Points that UP may lie under the victim before a lock is not ranked: it would be cheap to hold by being useless."""


def costly(row: Row) -> bool | None:
    """Whether UP is more than `COST` points under the victim; None where either is not known."""
    up, victim = row.mean("UP"), row.mean("victim_authorised")
    # Decimal percentages differ by rounding error; a gap of exactly 6 points is within.
    return None if up is None or victim is None else victim - up > COST + 1e-9


@dataclass(frozen=True)
class Block:
    """Rows of one table under a heading of their own; ``pinned`` ones are never filtered away."""

    heading: str
    rows: list[Row]
    pinned: bool = False


@dataclass(frozen=True)
class Group:
    """The rows of one table: one scenario and one model, methods and controls apart; ``threats`` names by letter."""

    scenario: str
    model: str
    methods: list[Row]
    controls: list[Row]
    threats: dict[str, str]

    @property
    def rows(self) -> list[Row]:
        """All rows in table order."""
        return [*self.methods, *self.controls]

    def threat(self, row: Row) -> str:
        """The letter of ``row``'s threat model in this table."""
        return self.threats[threat_words(row.threat)]

    def blocks(self) -> list[Block]:
        """The rows of a table by what may be ranked; calibration locks and other controls always stand below."""
        by_cost = self._by_cost()
        cost = f"{COST:g} points"
        listed = [
            Block(f"Locks whose UP is within {cost} of the victim, least worst-case advantage first", by_cost[False]),
            Block(f"Unranked: UP more than {cost} under the victim", by_cost[True]),
            Block("Unranked: UP or the victim is not known", by_cost[None]),
            Block("Failed, invalid or not measured", [row for row in self.methods if row.status != "ok"]),
            Block("Controls and calibration locks, not ranked", self.controls, pinned=True),
        ]
        return [block for block in listed if block.rows]

    def rankable(self) -> list[Row]:
        """The rows of locks that are not too costly to be ranked."""
        return self._by_cost()[False]

    def _by_cost(self) -> dict[bool | None, list[Row]]:
        """Measured rows of methods, by whether their lock is too costly for a rank (None: not known)."""
        costs: dict[tuple[str, str], tuple[int, bool | None]] = {}
        for row in self.methods:
            known = costly(row)
            seeds = len(row.seeds) if known is not None else 0
            if seeds >= costs.get((row.lock, row.key), (0, None))[0]:
                costs[row.lock, row.key] = (seeds, known)
        ok = [row for row in self.methods if row.status == "ok"]
        return {c: [row for row in ok if costs[row.lock, row.key][1] is c] for c in (False, True, None)}

    def lock_rows(self) -> list[Row]:
        """One row for each lock and key that has key conditions: the one with the most seeds."""
        best: dict[tuple[str, str], Row] = {}
        for row in self.rows:
            held = best.get((row.lock, row.key))
            if row.conditions and (held is None or len(row.seeds) > len(held.seeds)):
                best[row.lock, row.key] = row
        return list(best.values())


def grouped(rows: Iterable[Row]) -> list[Group]:
    """``rows`` by scenario and model, in the order given."""
    by_place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_place.setdefault((row.scenario, row.model), []).append(row)
    groups = []
    for (scenario, model), members in by_place.items():
        words = dict.fromkeys(threat_words(row.threat) for row in members)
        threats = {text: _letters(i) for i, text in enumerate(words)}
        methods = [row for row in members if row.role != "control"]
        groups.append(Group(scenario, model, methods, [row for row in members if row.role == "control"], threats))
    return groups


def _letters(i: int) -> str:
    return ("" if i < 26 else _letters(i // 26 - 1)) + chr(ord("a") + i % 26)


def title(group: Group) -> str:
    """The heading of a group's tables."""
    return f"{group.scenario} · {group.model}"


def flag_numbers(group: Group) -> dict[str, int]:
    """The number under which each flag of the group is explained."""
    return {name: i for i, name in enumerate(dict.fromkeys(n for row in group.rows for n in row.flags), start=1)}


def captions(group: Group) -> list[str]:
    """The sentences under a group's main table, plain text, one a line."""
    lines = [_sizes(group), _intervals(group), _detectable(group), _sides(group)]
    lines += _threats(group)
    lines += _lock_costs(group)
    lines += _controls(group)
    lines += _selection(group)
    lines += _ranks(group)
    lines += _ensembles(group)
    lines += _adaptive(group)
    lines += surface.captions(surface.surfaces(group.rows))
    lines += _halves(group)
    lines += _flags(group)
    for row in group.rows:
        if row.error:
            lines.append(f"{row.status.capitalize()}: {name(group, row)}: {first_line(row.error)}")
    lines.append(
        f"Broken: RP > LP and the advantage's lower bound above {MARGIN:g} points. Undecided: no interval, or one"
        f" with {MARGIN:g} inside. Locks stand by their worst advantage, least first; controls are not ranked."
    )
    return [line for line in lines if line]


def name(group: Group, row: Row) -> str:
    """``modellock × prompt-search (a)``; the key is named where the group has several."""
    return f"{lock_name(group, row)} × {row.attack} ({group.threat(row)})"


def lock_name(group: Group, row: Row) -> str:
    """``modellock``, or ``modellock (blockwise)`` where the group has several keys."""
    keys = {other.key for other in group.rows if other.role != "control"}
    return row.lock if len(keys) < 2 else f"{row.lock} ({row.key})"


def _sizes(group: Group) -> str:
    sizes = sorted({n for row in group.rows for n in row.n if n is not None})
    measured = [row for row in group.rows if row.status == "ok"]
    by_seeds: dict[str, list[str]] = {}
    for row in measured:
        by_seeds.setdefault(seeds_words(row.seeds), []).append(name(group, row))
    if len(by_seeds) == 1:
        words = next(iter(by_seeds))
    else:
        words = "; ".join(f"{seeds}: {', '.join(rows)}" for seeds, rows in by_seeds.items()) or "no seed measured"
    images = " or ".join(map(str, sizes)) if sizes else "not recorded"
    return f"Test images: n = {images}. {words[0].upper()}{words[1:]}."


def _intervals(group: Group) -> str:
    meaning = {
        T: "t over seeds (2 to 4 seeds)",
        IMAGES: "one seed: over test images, these seeds only",
        NESTED: "5 seeds or more: nested bootstrap over seeds and images",
    }
    values = [v for row in group.rows for v in row.values.values() if v is not None]
    kinds = [kind for kind in meaning if any(v.kind == kind for v in values)]
    if not kinds:
        return "No intervals: none were recorded."
    return f"Intervals: 95 %; {'; '.join(meaning[kind] for kind in kinds)}. Accuracies in percent, recovery a fraction."


def _detectable(group: Group) -> str:
    """The least difference that this table's seeds and images can tell from noise."""
    measured = [row.values["RP"] or row.values["LP"] for row in group.methods if row.status == "ok"]
    values = [value for value in measured if value is not None]
    images = [n for row in group.methods for n in row.n if n is not None]
    if not values or not images:
        return ""
    seeds, n = min(value.n_seeds for value in values), min(images)
    spreads = [np.var([x for x in v.per_seed if x is not None], ddof=1) for v in values if v.n_seeds > 1]
    spread = float(np.sqrt(np.mean(spreads))) if seeds > 1 else None
    # Half-way is where accuracies vary most, so that the worst of the table's rows is spoken for.
    middle = min((value.mean for value in values), key=lambda mean: abs(mean - 50))
    effect = minimal_effect(n, seeds, middle, spread)
    what = f"{seeds} seeds" if seeds > 1 else "1 seed (images alone: other seeds may differ more)"
    return (
        f"Minimal detectable effect: between two locks with {what} of {n} images, {effect:.1f} points "
        "(two-sided 5 % level, 80 % power); smaller differences are ties."
    )


def _threats(group: Group) -> list[str]:
    """What all threat models share once, then what tells them apart."""
    terms = {group.threat(row): threat_terms(row.threat) for row in group.rows}
    if len(terms) == 1:
        return [f"Threat model ({letter}): {', '.join(words)}." for letter, words in terms.items()]
    shared = [word for word in next(iter(terms.values())) if all(word in words for words in terms.values())]
    lines = [f"All threat models: {', '.join(shared)}."] if shared else []
    own = {letter: [word for word in words if word not in shared] for letter, words in sorted(terms.items())}
    return [*lines, *(f"Threat model ({letter}): {', '.join(words)}." for letter, words in own.items())]


def _sides(group: Group) -> str:
    said_once = []
    # Rows of one key have the same victims, images and test labels: the row with the most seeds says it best.
    widest = sorted(group.rows, key=lambda row: (row.status == "ok", len(row.seeds)), reverse=True)
    keys = sorted({row.key for row in widest if row.values["victim_authorised"] is not None})
    for key in keys:
        found = next(v for row in widest if row.key == key and (v := row.values["victim_authorised"]) is not None)
        of = f" of key {key}" if len(keys) > 1 else ""
        said_once.append(f"Victim on authorised images{of}: {with_interval(found)}.")
    floor = next((row.values["floor"] for row in widest if row.values["floor"] is not None), None)
    if floor is not None:
        said_once.append(f"Floor: {with_interval(floor)}.")
    return " ".join(said_once)


def _lock_costs(group: Group) -> list[str]:
    """What each lock takes to make, and from its user at every image; machine's own seconds."""
    words = {
        "seconds": "{:,.0f} s", "steps": "{:,.0f} steps", "extra_parameters": "{:+,.0f} parameters",
        "key_ms_per_image": "key {:,.1f} ms an image", "key_megabytes": "key {:,.1f} MB of weights",
    }  # fmt: skip
    told: dict[str, str] = {}
    for row in group.rows:
        known = [word.format(cost) for n, word in words.items() if (cost := row.lock_cost.get(n)) is not None]
        if row.role != "control" and known:
            told.setdefault(f"{row.lock} (key {row.key})", ", ".join(known))
    where = "; ".join(f"{lock}: {cost}" for lock, cost in told.items())
    return (
        [f"Cost of the lock, to make and at inference (seconds of the machine that ran it): {where}."] if told else []
    )


def _controls(group: Group) -> list[str]:
    lines = []
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
            present.append(f"{name(group, row)}: {_calibrated(row)}")
    lines.append(f"Controls present: {'; '.join(present) if present else 'none'}.")
    commands: dict[tuple[str, str, str], list[str]] = {}
    for row in group.rows:
        for lack in row.missing:
            withheld = "advantage" if row.role == "control" else "RP"
            commands.setdefault((lack.control, lack.command, withheld), []).append(name(group, row))
    for (control, command, withheld), lacking in commands.items():
        lines.append(f"Missing control: {control}, so no {withheld} for {', '.join(lacking)}. Make it: {command}")
    return lines


def _calibrated(row: Row) -> str:
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


def _selection(group: Group) -> list[str]:
    rules = {row.attack: row.selection for row in group.rows if row.selection}
    lines = [f"Selection rules: {'; '.join(f'{attack}: {rule}' for attack, rule in rules.items())}."] if rules else []
    if any(row.transductive for row in group.rows):
        lines.append(f"{TRANSDUCTIVE} Transductive: predictions depend on the batch; judged on fixed shuffled batches.")
    return lines


def _ranks(group: Group) -> list[str]:
    """Ranks of the locks that may be ranked, as ranges where noise cannot tell them apart."""
    found = ranks.places(group.rankable())
    if not found:
        return []
    names = {row.row_key: lock_name(group, row) for row, _ in found}
    told = [names[row.row_key] + (f" {a}" if a == b else f" {a}–{b}") for row, (a, b) in found]
    seen = [names[row.row_key] for row, _ in found if row.ensemble is None]
    mark = f" Optimistic for {', '.join(seen)}: no ensemble, so the worst was chosen on test." if seen else ""
    return [f"Ranks by worst-case advantage, a range where noise cannot tell (Holm, 5 %): {', '.join(told)}.{mark}"]


def _ensembles(group: Group) -> list[str]:
    """Who stands for each ensemble, what its members' plain maximum would be, and who is missing."""
    lines = []
    for row in group.rows:
        told = row.ensemble
        if told is None:
            continue
        chosen = ", ".join(f"{member} (seed {seed})" for seed, member in told.chosen.items())
        most = sum(told.optimistic.values()) / len(told.optimistic)
        line = f"Ensemble v{told.version}, {told.threat}, against {row.lock}: {chosen}; plain maximum of RP over test"
        line += f" {number(most)} (optimistic: chosen on what it reports); {told.members - len(told.missing)} of"
        line += f" {told.members} members measured"
        lines.append(line + (f", not: {', '.join(told.missing)}." if told.missing else "."))
    if lines:
        lines.append("Tables are comparable only at the same version of the ensemble.")
    return lines


def _adaptive(group: Group) -> list[str]:
    """For each lock the attacks that were written against it, or none yet."""
    written = written_against()
    said = {}
    for row in group.methods:
        rows = [r for r in group.methods if r.lock == row.lock and r.attack_name in written.get(row.lock_name, ())]
        measured = [f"{r.attack} ({group.threat(r)}) RP {number(r.mean('RP'))}" for r in rows]
        known = written.get(row.lock_name)
        said[row.lock] = ", ".join(measured) or ("not measured: " + ", ".join(known) if known else "none yet")
    attacked = {r.lock for r in group.methods if r.attack_purpose != "no-attack"}
    lines = [f"{lock}: {words}" for lock, words in said.items() if lock in attacked]
    return [f"Adaptive, written against this lock: {'; '.join(lines)}."] if lines else []


def _halves(group: Group) -> list[str]:
    """At which guess half of the lost performance was back, a sentence a row that guesses."""
    lines = []
    for row in group.rows:
        if told := surface.halves_words(row):
            lines.append(f"Guess at which half of the lost performance is back, {name(group, row)}: {told}.")
    return lines


def _flags(group: Group) -> list[str]:
    lines = []
    for flag, i in flag_numbers(group).items():
        details = [flat(row.flag_details[flag]) for row in group.rows if flag in row.flags]
        first = " for the first" if len(set(details)) > 1 else ""
        flagged = "; ".join(_flagged(group, flag))
        lines.append(f"Flag [{i}] {flag}: {details[0]}{first} ({flagged}; see docs/flags.md#{flag})")
    return lines


def _flagged(group: Group, flag: str) -> list[str]:
    """The rows with ``flag``, each by name; a lock's rows together where they are many."""
    own: dict[str, list[Row]] = {}
    for row in group.rows:
        own.setdefault(lock_name(group, row), []).append(row)
    said = []
    for lock, rows in own.items():
        with_it = [row for row in rows if flag in row.flags]
        each = [f"{name(group, r)} {r.flags[flag]}/{len(r.seeds)} seeds" for r in with_it]
        said += each if len(each) <= 3 else [f"{len(each)} of the {len(rows)} rows of {lock}, as the table marks them"]
    return said
