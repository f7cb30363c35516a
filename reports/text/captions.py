"""The sentences under a table: what its numbers are of, and what to know before they are compared."""

from __future__ import annotations

import numpy as np

from reports.rows import budget_surface as surface
from reports.rows.intervals import IMAGES, NESTED, T
from reports.rows.row import MARGIN, Row
from reports.rows.statistics import minimal_effect
from reports.text import lock_captions
from reports.text.formatting import TRANSDUCTIVE, first_line, flat, seeds_words, threat_terms, with_interval
from reports.text.groups import Group, flag_numbers, lock_name, row_name


def captions(group: Group) -> list[str]:
    """The sentences under a group's main table, plain text, one a line."""
    lines = [_sizes(group), _intervals(group), _detectable(group), _sides(group)]
    lines += _threats(group)
    lines += lock_captions.costs(group)
    lines += lock_captions.controls(group)
    lines += _selection(group)
    lines += lock_captions.ranks(group)
    lines += lock_captions.ensembles(group)
    lines += lock_captions.adaptive(group)
    lines += surface.captions(surface.surfaces(group.rows))
    lines += _halves(group)
    lines += _flags(group)
    for row in group.rows:
        if row.error:
            lines.append(f"{row.status.capitalize()}: {row_name(group, row)}: {first_line(row.error)}")
    lines.append(
        f"Broken: RP > LP and the advantage's lower bound above {MARGIN:g} points. Undecided: no interval, or one"
        f" with {MARGIN:g} inside. Locks stand by their worst advantage, least first; controls are not ranked."
    )
    return [line for line in lines if line]


def _sizes(group: Group) -> str:
    sizes = sorted({n for row in group.rows for n in row.n if n is not None})
    by_seeds: dict[str, list[str]] = {}
    for row in group.rows:
        if row.status == "ok":
            by_seeds.setdefault(seeds_words(row.seeds), []).append(row_name(group, row))
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


def _sides(group: Group) -> str:
    parts = []
    # Rows of one key have the same victims, images and test labels: the row with the most seeds says it best.
    widest = sorted(group.rows, key=lambda row: (row.status == "ok", len(row.seeds)), reverse=True)
    victims = [(row.key, value) for row in widest if (value := row.values["victim_authorised"]) is not None]
    keys = sorted({key for key, _ in victims})
    for key in keys:
        of = f" of key {key}" if len(keys) > 1 else ""
        value = next(v for k, v in victims if k == key)
        parts.append(f"Victim on authorised images{of}: {with_interval(value)}.")
    floor = next((row.values["floor"] for row in widest if row.values["floor"] is not None), None)
    if floor is not None:
        parts.append(f"Floor: {with_interval(floor)}.")
    return " ".join(parts)


def _threats(group: Group) -> list[str]:
    """What all threat models share once, then what tells them apart."""
    terms = {group.threat(row): threat_terms(row.threat) for row in group.rows}
    if len(terms) == 1:
        return [f"Threat model ({letter}): {', '.join(words)}." for letter, words in terms.items()]
    shared = [word for word in next(iter(terms.values())) if all(word in words for words in terms.values())]
    lines = [f"All threat models: {', '.join(shared)}."] if shared else []
    own = {letter: [word for word in words if word not in shared] for letter, words in sorted(terms.items())}
    return [*lines, *(f"Threat model ({letter}): {', '.join(words)}." for letter, words in own.items())]


def _selection(group: Group) -> list[str]:
    rules = {row.attack: row.selection for row in group.rows if row.selection}
    lines = [f"Selection rules: {'; '.join(f'{attack}: {rule}' for attack, rule in rules.items())}."] if rules else []
    if any(row.transductive for row in group.rows):
        lines.append(f"{TRANSDUCTIVE} Transductive: predictions depend on the batch; judged on fixed shuffled batches.")
    return lines


def _halves(group: Group) -> list[str]:
    """At which guess half of the lost performance was back, a sentence a row that guesses."""
    return [
        f"Guess at which half of the lost performance is back, {row_name(group, row)}: {words}."
        for row in group.rows
        if (words := surface.halves_words(row))
    ]


def _flags(group: Group) -> list[str]:
    lines = []
    for flag, i in flag_numbers(group).items():
        details = [flat(row.flag_details[flag]) for row in group.rows if flag in row.flags]
        first = " for the first" if len(set(details)) > 1 else ""
        names = "; ".join(_flagged(group, flag))
        lines.append(f"Flag [{i}] {flag}: {details[0]}{first} ({names}; see docs/flags.md#{flag})")
    return lines


def _flagged(group: Group, flag: str) -> list[str]:
    """The rows with ``flag``, each by name; a lock's rows together where they are many."""
    by_lock: dict[str, list[Row]] = {}
    for row in group.rows:
        by_lock.setdefault(lock_name(group, row), []).append(row)
    names = []
    for lock, rows in by_lock.items():
        flagged = [f"{row_name(group, r)} {r.flags[flag]}/{len(r.seeds)} seeds" for r in rows if flag in r.flags]
        many = [f"{len(flagged)} of the {len(rows)} rows of {lock}, as the table marks them"]
        names += flagged if len(flagged) <= 3 else many
    return names
