"""What each attack adds to the worst case over all, by threat model. `bench contributions` prints it.

Members of an ensemble are chosen by it, on tuning seeds. A place is a lock with its key, its scenario and its model.
What an attack is worth there is its mean RP over the seeds, in percent, on judge-validation images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.plan.wording import key_label, label, name_text, scenario_label
from bench.records import Cell, Record
from reports.rows.aggregate import current
from reports.text.escaping import markdown as escape
from reports.text.formatting import threat_terms
from reports.text.markdown_table import markdown_table

WITHIN = 1.0
"""Points: how near the chosen members come to the best attack at every place."""
LEAST_SECONDS = 0.1


@dataclass(frozen=True)
class Step:
    """The next member in the order of choice.

    Args:
        attack: its name with what was set.
        seconds: of wall time, mean over the records.
        gain: what it adds to the worst case of those before it, mean over all places, points.
        largest: the most that it adds at one place, points.
        place: the place of ``largest``.
        gap: how far the members so far stay below the best attack, at the worst place, points.
        alone: its own mean RP over the places that it ran at, percent.
        ran: at how many places it ran.
    """

    attack: str
    seconds: float
    gain: float
    largest: float
    place: str
    gap: float
    alone: float
    ran: int


@dataclass(frozen=True)
class Contributions:
    """The attacks of one threat model in the order of choice.

    ``chosen`` has as many as bring every place to within `WITHIN` of the best attack. ``rest`` has the others: what
    they still add is at most that.
    """

    threat: str
    seeds: tuple[int, ...]
    places: tuple[str, ...]
    chosen: tuple[Step, ...]
    rest: tuple[Step, ...]


def contributions(records: Iterable[Record]) -> list[Contributions]:
    """By threat model, from records that were judged on judge-validation images; controls are left out."""
    groups: dict[str, list[Record]] = {}
    for record in current(records, "judge-validation"):
        cell = record.cell
        if record.status == "ok" and record.RP is not None and "control" not in (cell.lock.role, cell.attack.role):
            groups.setdefault(", ".join(threat_terms(cell.threat.values())[:-1]), []).append(record)
    return [_of_threat(threat, group) for threat, group in sorted(groups.items())]


def _of_threat(threat: str, group: Sequence[Record]) -> Contributions:
    values: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, list[float]] = {}
    start: dict[str, list[float]] = {}
    for record in group:
        attack, place = _attack(record.cell), _place(record.cell)
        assert record.RP is not None
        values.setdefault(attack, {}).setdefault(place, []).append(record.RP.value)
        seconds.setdefault(attack, []).append(record.provenance.seconds.get("unlocked", 0.0))
        start.setdefault(place, []).append(record.floor or 0.0 if record.LP is None else record.LP.value)
    places = tuple(sorted({place for own in values.values() for place in own}))
    means = {attack: {place: fmean(v) for place, v in own.items()} for attack, own in values.items()}
    cost = {attack: max(fmean(v), LEAST_SECONDS) for attack, v in seconds.items()}
    steps = ranking(means, cost, {place: fmean(start[place]) for place in places})
    count = next((i for i, step in enumerate(steps) if step.gap <= WITHIN), len(steps) - 1) + 1
    seeds = tuple(sorted({record.cell.replicate for record in group}))
    return Contributions(threat, seeds, places, tuple(steps[:count]), tuple(steps[count:]))


def ranking(
    means: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float], start: Mapping[str, float]
) -> list[Step]:
    """The attacks, next always the one whose gain per second is highest.

    The gain is the mean over places of max(0, RP − worst), where worst is the highest RP so far, at first ``start``.

    Args:
        means: RP by attack and place, percent; an attack adds nothing where it did not run.
        seconds: by attack, above 0.
        start: accuracy by place before any attack, percent.
    """
    best = {
        place: max([begin, *(own[place] for own in means.values() if place in own)]) for place, begin in start.items()
    }
    worst, left, steps = dict(start), sorted(means), list[Step]()
    while left:
        gains = {
            attack: {place: max(0.0, value - worst[place]) for place, value in means[attack].items()} for attack in left
        }
        total = {attack: sum(own.values()) / len(start) for attack, own in gains.items()}
        attack = max(left, key=lambda name: (total[name] / seconds[name], fmean(means[name].values())))
        place, most = max(gains[attack].items(), key=lambda item: item[1])
        for name, value in means[attack].items():
            worst[name] = max(worst[name], value)
        gap = max(best[name] - worst[name] for name in start)
        alone = fmean(means[attack].values())
        ran = len(means[attack])
        steps.append(Step(attack, seconds[attack], total[attack], most, place if most else "", gap, alone, ran))
        left.remove(attack)
    return steps


def markdown(groups: Sequence[Contributions]) -> str:
    """A table for each threat model; attacks that are not chosen add at most `WITHIN` points anywhere."""
    return "\n\n".join(map(_table, groups))


def _table(group: Contributions) -> str:
    seeds = ", ".join(map(str, group.seeds))
    title = f"**{escape(group.threat)}.** Places: {len(group.places)}; seeds: {seeds}; judge-validation images."
    head = ["attack", "seconds", "adds, mean", "adds, most", "there", "gap left", "alone", "ran at", "chosen"]
    rows = [
        [
            escape(step.attack), f"{step.seconds:.1f}", f"{step.gain:.1f}", f"{step.largest:.1f}", escape(step.place),
            f"{step.gap:.1f}", f"{step.alone:.1f}", str(step.ran), "yes" if step in group.chosen else "",
        ]
        for step in (*group.chosen, *group.rest)
    ]  # fmt: skip
    return f"{title}\n\n{markdown_table(head, rows, 'lrrrlrrrl')}"


def _attack(cell: Cell) -> str:
    """The attack with what was set, and the limits of its budget."""
    budget = [f"{name}={value}" for name, value in cell.budget.values().items() if value is not None]
    return ", ".join([label(cell.attack), *budget])


def _place(cell: Cell) -> str:
    return f"{label(cell.lock)}, key {key_label(cell)} ({scenario_label(cell)}, {name_text(cell.model_name)})"
