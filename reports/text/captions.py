"""The sentences under a table: where its numbers come from, and what they can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import registry
from reports.rows import budget_surface as surface
from reports.rows import calibration, ranking
from reports.rows.controls import CALIBRATION, DATA_BUDGET
from reports.rows.intervals import IMAGES, NESTED, T
from reports.rows.row import MARGIN, Row
from reports.rows.statistics import minimal_effect
from reports.rows.worst import candidates, written_against
from reports.text.escaping import first_line
from reports.text.formatting import (
    TRANSDUCTIVE,
    number,
    seeds_words,
    threat_terms,
    threat_words,
    with_interval,
)
from reports.text.groups import Group, flag_numbers, grouped, lock_name, row_name

__all__ = ["captions", "grouped", "rank_notes"]

MOST_NAMES = 5
"""Names of attacks that one sentence lists."""
LEGEND = (
    f"Broken: RP > LP and the advantage's lower bound above {MARGIN:g} points. Undecided: no interval, or one"
    f" with {MARGIN:g} inside. Locks stand by their worst advantage, least first; controls are not ranked."
)
"""What verdicts and the order of a table mean."""
TRANSDUCTIVE_NOTE = f"{TRANSDUCTIVE} Transductive: predictions depend on the batch; judged on fixed shuffled batches."
"""What the mark behind an attack means."""


def captions(group: Group) -> list[str]:
    """The sentences under a group's main table, plain text, one a line."""
    return [*alarms(group), *notes(group), LEGEND]


def notes(group: Group) -> list[str]:
    """What to know of the numbers of a group beside its alarms and the legend, one sentence a line."""
    lines = [_sizes(group), _intervals(group), _detectable(group), _sides(group)]
    lines += threats(group)
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
            lines.append(f"{row.status.capitalize()}: {row_name(group, row)}: {_why(row)}{first_line(row.error)}")
    return [line for line in lines if line]


def alarms(group: Group) -> list[str]:
    """The controls of a group that miss their condition, one a line: with one that failed, the table says nothing."""
    lines = []
    for finding in calibration.failed(group.rows):
        name = finding.control if finding.control == "the victim" else row_name(group, finding.row)
        lines.append(f"CONTROL FAILED: {name}: {finding.what}: {finding.meaning}.")
    for row in group.rows:
        for finding in calibration.missed(row):
            lines.append(f"CONTROL MISSED: {row_name(group, row)}: {finding.what}: {finding.meaning}.")
    return lines


def _why(row: Row) -> str:
    """The flags behind an invalid row, where its error does not name them itself."""
    return f"{row.reason}; " if row.reason and row.reason not in (row.error or "") else ""


def _sizes(group: Group) -> str:
    sizes = sorted({n for row in group.rows for n in row.n if n is not None})
    measured = [row for row in group.rows if row.status == "ok"]
    by_seeds: dict[str, list[str]] = {}
    for row in measured:
        by_seeds.setdefault(seeds_words(row.seeds), []).append(row_name(group, row))
    if len(by_seeds) == 1:
        words = next(iter(by_seeds))
    else:
        words = "; ".join(f"{seeds}: {', '.join(rows)}" for seeds, rows in by_seeds.items()) or "no seed measured"
    images = " or ".join(map(str, sizes)) if sizes else "not recorded"
    return f"Test images: n = {images}. {words[0].upper()}{words[1:]}."


def _intervals(group: Group) -> str:
    meaning = {
        T: "t over seeds (2 to 4 seeds; verdicts and ranks join it with the one over images)",
        IMAGES: "one seed: over test images, these seeds only",
        NESTED: "5 seeds or more: nested bootstrap over seeds and images",
    }
    values = [v for row in group.rows for v in row.values.values() if v is not None]
    kinds = [kind for kind in meaning if any(v.kind == kind for v in values)]
    if not kinds:
        return "No intervals: none were recorded."
    what = "mIoU over the K real classes" if group.metric == "mIoU" else "Accuracies"
    return f"Intervals: 95 %; {'; '.join(meaning[kind] for kind in kinds)}. {what} in percent, recovery a fraction."


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


def threats(group: Group) -> list[str]:
    """What all threat models share once, then what tells them apart; nothing where there is no row."""
    terms = {group.threat(row): threat_terms(row.threat) for row in group.rows}
    if len(terms) <= 1:
        return [f"Threat model ({letter}): {', '.join(words)}." for letter, words in terms.items()]
    shared = [word for word in next(iter(terms.values())) if all(word in words for words in terms.values())]
    lines = [f"All threat models: {', '.join(shared)}."] if shared else []
    own = {letter: [word for word in words if word not in shared] for letter, words in sorted(terms.items())}
    return [*lines, *(f"Threat model ({letter}): {', '.join(words)}." for letter, words in own.items())]


def _sides(group: Group) -> str:
    sentences = []
    # Rows of one key have the same victims, images and test labels: the row with the most seeds says it best.
    widest = sorted(group.rows, key=lambda row: (row.status == "ok", len(row.seeds)), reverse=True)
    keys = sorted({row.key for row in widest if row.values["victim_authorised"] is not None})
    for key in keys:
        victim = next(v for row in widest if row.key == key and (v := row.values["victim_authorised"]) is not None)
        of = f" of key {key}" if len(keys) > 1 else ""
        sentences.append(f"Victim on authorised images{of}: {with_interval(victim)}.")
    floor = next((row.values["floor"] for row in widest if row.values["floor"] is not None), None)
    if floor is not None:
        sentences.append(f"Floor: {with_interval(floor)}.")
    return " ".join(sentences)


def _lock_costs(group: Group) -> list[str]:
    """What each lock takes to make, and from its user at every image; machine's own seconds."""
    words = {
        "seconds": "{:,.0f} s", "steps": "{:,.0f} steps", "extra_parameters": "{:+,.0f} parameters",
        "key_ms_per_image": "key {:,.1f} ms an image", "key_megabytes": "key {:,.1f} MB of weights",
    }  # fmt: skip
    costs: dict[str, str] = {}
    for row in group.rows:
        known = [word.format(cost) for n, word in words.items() if (cost := row.lock_cost.get(n)) is not None]
        if row.role != "control" and known:
            costs.setdefault(lock_name(row), ", ".join(known))
    where = "; ".join(f"{lock}: {cost}" for lock, cost in costs.items())
    return (
        [f"Cost of the lock, to make and at inference (seconds of the machine that ran it): {where}."] if costs else []
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
            present.append(f"{row_name(group, row)}: {_calibrated(row)}")
    lines.append(f"Controls present: {'; '.join(present) if present else 'none'}.")
    commands: dict[tuple[str, str, str], list[str]] = {}
    for row in group.rows:
        for lack in row.missing:
            withheld = "advantage" if row.role == "control" else "RP"
            commands.setdefault((lack.control, lack.command, withheld), []).append(row_name(group, row))
    for (control, command, withheld), lacking in commands.items():
        lines.append(f"Missing control: {control}, so no {withheld} for {', '.join(lacking)}. Make it: {command}")
    return lines


def _calibrated(row: Row) -> str:
    miss = ": missed" if calibration.outside(row) else ""
    if row.lock_purpose != "must-open":
        return f"advantage {with_interval(row.values['advantage'])} (must not be above 0 beyond noise{miss})"
    condition = f" (must be 1 within noise{miss})" if calibration.opens(row) else ""
    return f"recovery {with_interval(row.values['recovery'], 2)}{condition}"


def _selection(group: Group) -> list[str]:
    rules = {row.attack: row.selection for row in group.rows if row.selection}
    lines = [f"Selection rules: {'; '.join(f'{attack}: {rule}' for attack, rule in rules.items())}."] if rules else []
    if any(row.transductive for row in group.rows):
        lines.append(TRANSDUCTIVE_NOTE)
    return lines


def _ranks(group: Group) -> list[str]:
    """Ranks of the locks that may be ranked, as ranges where noise cannot tell them apart."""
    places = ranking.places(group.rankable())
    if not places:
        return []
    ranks = [lock_name(row) + (f" {a}" if a == b else f" {a}–{b}") for row, (a, b) in places]
    words = " ".join([f"{', '.join(ranks)}.", *rank_notes(group, [row for row, _ in places])])
    return [f"Ranks by worst-case advantage, a range where noise cannot tell (Holm, 5 %): {words}"]


def rank_notes(group: Group, ranked: Sequence[Row]) -> list[str]:
    """What to know of the ranks of a group, one sentence a line; nothing where no lock is ranked.

    Args:
        ranked: the rows that stand for its locks, as `ranking.places` has them.
    """
    if not ranked:
        return []
    rankable, out = group.rankable(), []
    pools: dict[tuple[str, ...], list[Row]] = {}
    for row in rankable:
        if row.values["advantage"] is not None:
            pools.setdefault(row.place, []).append(row)
    optimistic = [lock_name(row) for row in ranked if len(candidates(pools[row.place])) > 1]
    if optimistic:
        out.append(f"Optimistic for {', '.join(optimistic)}: the worst of several rows was chosen on test images.")
    places = {row.place for row in ranked}
    lost = [row for row in group.methods if row.place in places and row.status in ("invalid", "failed")]
    if lost:
        names = dict.fromkeys(f"{row_name(group, row)} ({row.status})" for row in lost)
        out.append(f"Without what does not count: {', '.join(names)}.")
    if unplaced := dict.fromkeys(lock_name(row) for row in ranking.unplaced(rankable)):
        out.append(f"Without a place: {', '.join(unplaced)}, whose worst case has no interval.")
    if unshared := ranking.unshared(rankable, ranked):
        more = f" and {len(unshared) - MOST_NAMES} more" if len(unshared) > MOST_NAMES else ""
        out.append(f"Not every lock met {', '.join(unshared[:MOST_NAMES])}{more}.")
    return out


def _ensembles(group: Group) -> list[str]:
    """Who stands for each ensemble, what its members' plain maximum would be, and who is missing."""
    lines = []
    for row in group.rows:
        case = row.ensemble
        if case is None:
            continue
        chosen = ", ".join(f"{member} (seed {seed})" for seed, member in case.chosen.items())
        most = sum(case.optimistic.values()) / len(case.optimistic)
        line = f"Ensemble v{case.version}, {case.threat}, against {lock_name(row)}: {chosen}; plain maximum of RP over"
        lacking = {*case.missing, *case.left_out}
        line += f" test {number(most)} (optimistic: chosen on what it reports); {case.members - len(lacking)} of"
        line += f" {case.members} members measured" + (f", not: {', '.join(case.missing)}" if case.missing else "")
        for member, seeds in case.left_out.items():
            line += f"; {member} does not count: {', '.join(f'seed {s} {why}' for s, why in seeds.items())}"
        lines.append(f"{line}.")
    if lines:
        lines.append("Tables are comparable only at the same version of the ensemble.")
    return lines


def _adaptive(group: Group) -> list[str]:
    """For each lock the attacks that were written against it, or none yet."""
    written = written_against()
    words = {}
    for row in group.methods:
        rows = [r for r in group.methods if r.place == row.place and r.attack_name in written.get(row.lock_name, ())]
        measured = [f"{r.attack} ({group.threat(r)}) {_reached(r)}" for r in rows]
        known = written.get(row.lock_name)
        words[lock_name(row)] = ", ".join(measured) or ("not measured: " + ", ".join(known) if known else "none yet")
    attacked = {lock_name(r) for r in group.methods if r.attack_purpose != "no-attack"}
    lines = [f"{lock}: {text}" for lock, text in words.items() if lock in attacked]
    return [f"Adaptive, written against this lock: {'; '.join(lines)}."] if lines else []


def _reached(row: Row) -> str:
    """What an attack reached, or why that is not known."""
    if row.status != "ok":
        return f"{row.status}: {row.reason}" if row.reason else row.status
    return f"RP {number(row.mean('RP'))}"


def _halves(group: Group) -> list[str]:
    """At which guess half of the lost performance was back, a sentence a row that guesses."""
    lines = []
    for row in group.rows:
        if guesses := surface.halves_words(row):
            lines.append(f"Guess at which half of the lost performance is back, {row_name(group, row)}: {guesses}.")
    return lines


def _flags(group: Group) -> list[str]:
    lines = []
    for flag, i in flag_numbers(group).items():
        details = [first_line(row.flag_details[flag]) for row in group.rows if flag in row.flags]
        first = " for the first" if len(set(details)) > 1 else ""
        flagged = "; ".join(_flagged(group, flag))
        lines.append(f"Flag [{i}] {flag}: {details[0]}{first} ({flagged}; see docs/reference/flags.md#{flag})")
    return lines


def _flagged(group: Group, flag: str) -> list[str]:
    """The rows with ``flag``, each by name; a lock's rows together where they are many."""
    own: dict[str, list[Row]] = {}
    for row in group.rows:
        own.setdefault(lock_name(row), []).append(row)
    marked = []
    for lock, rows in own.items():
        with_it = [row for row in rows if flag in row.flags]
        each = [f"{row_name(group, r)} {r.flags[flag]}/{len(r.seeds)} seeds" for r in with_it]
        if len(each) > 3:
            each = [f"{len(each)} of the {len(rows)} rows of {lock}, as the table marks them"]
        marked += each
    return marked
