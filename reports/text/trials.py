"""Trials on tuning seeds, side by side: what a default was chosen by. They are no results, and need no controls.

Trials of an attack are read by RP, those of a lock by UP, LP and the highest RP of the attacks on it; all on
judge-validation images, in percent.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table

from bench.errors import UserError
from bench.legible import visible
from bench.plan.wording import key_label, label, name_text, scenario_label, value_text
from bench.records import Cell, Record
from reports.rows.aggregate import current, rights_of
from reports.rows.real import real
from reports.rows.reasons import outcome
from reports.text.escaping import as_json, csv_cell, markdown
from reports.text.formatting import number, seeds_words, threat_words
from reports.text.letters import Letters
from reports.text.markdown_table import markdown_table

if TYPE_CHECKING:
    import pandas as pd

EMPTY = (
    "No trials: nothing of tuning seeds is in the store. Run a file of bench/plan/tuning/ with bench run --suite FILE"
)
NOT_SET = "as declared"
FORMATS = ("terminal", "md", "csv", "json")


@dataclass(frozen=True)
class Trials:
    """The trials of one attack, or of one lock that is not attacked.

    ``table`` maps a trial's settings to accuracies by place (a lock and its task), percent, means over ``seeds``;
    a place that a trial was not run at is missing. ``ranked`` where the highest mean is the best: an attack's trials.
    A mean over what a lock keeps and what it leaves says nothing. ``lost`` names what does not count and why: a place
    where a seed of a trial is invalid or failed has no number. ``attacks`` are those whose highest RP is the worst case
    of a lock's trial, which has none where one of them is missing. ``fewer`` names trials that lack some of ``seeds``:
    means over other seeds are not compared.
    """

    title: str
    threat: str
    seeds: tuple[int, ...]
    places: tuple[str, ...]
    table: Mapping[str, Mapping[str, float]]
    ranked: bool
    lost: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    fewer: tuple[str, ...] = ()

    @property
    def best(self) -> str | None:
        """The trial with the highest mean, where they are ranked and all were run everywhere with the same seeds."""
        means = {trial: mean for trial in self.table if (mean := self.mean(trial)) is not None}
        return max(means, key=lambda t: means[t]) if self._comparable(means) else None

    def _comparable(self, means: Mapping[str, float]) -> bool:
        return self.ranked and len(means) == len(self.table) and not self.fewer

    def mean(self, trial: str) -> float | None:
        """Over all places; None where one is missing."""
        values = self.table[trial]
        return sum(values.values()) / len(values) if values and len(values) == len(self.places) else None


def trials(records: Iterable[Record]) -> list[Trials]:
    """What of ``records`` was judged on judge-validation, by attack and threat model, else by lock and key."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    attacks: dict[tuple[str, ...], list[Record]] = {}
    for record in current(records, "judge-validation"):
        cell = record.cell
        attacked = cell.attack.purpose != "no-attack"
        lock = f"{name_text(cell.lock.name)}, key {name_text(cell.key.name)}"
        what = (name_text(cell.attack.name), _threat(cell)) if attacked else (lock, "")
        groups.setdefault((name_text(cell.model_name), *what), []).append(record)
        if attacked:
            attacks.setdefault((name_text(cell.model_name), lock, ""), []).append(record)
    return [
        _with_worst(_trials(f"{at[1]} · {at[0]}", at[2], groups[at]), groups[at], attacks.get(at, []))
        for at in sorted(groups)
    ]


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One line for each trial and place: ``tuned``, ``threat``, ``trial``, ``place``, ``seeds``, ``accuracy``."""
    import pandas as pd

    columns = ("tuned", "threat", "trial", "place", "seeds", "accuracy")
    lines = [
        (group.title, group.threat, trial, place, ",".join(map(str, group.seeds)), value)
        for group in trials(records)
        for trial, values in group.table.items()
        for place, value in values.items()
    ]
    return pd.DataFrame(lines, columns=list(columns))


def render(records: Iterable[Record], fmt: str) -> str:
    """Every table as text.

    Raises:
        UserError: another format than md, csv or json.
    """
    if fmt == "csv":
        text = io.StringIO()
        frame(records).map(csv_cell).to_csv(text, index=False, float_format="%.4f", lineterminator="\n")
        return text.getvalue()
    if fmt == "json":
        return as_json(frame(records).to_dict("records"), indent=2)
    if fmt != "md":
        raise UserError(f"tuning trials have no format '{fmt}'.", f"Choose one of {', '.join(FORMATS)}.")
    return "\n\n".join(map(_markdown, trials(records))) or EMPTY


@dataclass(frozen=True)
class Board:
    """A rich renderable of trials; the best of an attack's is bold."""

    groups: Sequence[Trials]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table for each attack or lock that was tuned."""
        text = Letters(options.ascii_only)
        if not self.groups:
            yield text(EMPTY)
        for group in self.groups:
            yield Rule(text(group.title, style="bold"), align="left")
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column("trial", overflow="fold")
            for place in _columns(group):
                table.add_column(text(place), justify="right", overflow="fold")
            for trial in group.table:
                table.add_row(*map(text, _cells(group, trial)), style="bold" if trial == group.best else None)
            yield table
            yield Padding(text(_caption(group), style="dim"), (0, 0, 1, 2))


def terminal(records: Iterable[Record]) -> Board:
    """The trials among ``records`` as a rich renderable."""
    return Board(trials(records))


def _trials(title: str, threat: str, group: Sequence[Record]) -> Trials:
    attacked = any(r.cell.attack.purpose != "no-attack" for r in group)
    locks_vary = len({label(r.cell.lock) for r in group}) > len({r.cell.lock.name for r in group})
    by_attack = len({label(r.cell.attack) for r in group}) > 1 or (attacked and not locks_vary)
    tuned = "attack" if by_attack else "lock"
    settings = [getattr(r.cell, tuned).explicit for r in group]
    varying = _varying(settings)
    values: dict[str, dict[str, list[float]]] = {}
    seeds_of: dict[tuple[str, str], set[int]] = {}
    lost: dict[tuple[str, str], list[str]] = {}
    for record in sorted(group, key=lambda r: _order(getattr(r.cell, tuned).explicit, varying)):
        explicit = getattr(record.cell, tuned).explicit
        trial = _trial(explicit, varying)
        own = values.setdefault(trial, {})
        if record.status != "ok":
            at = trial, _place(record, by_attack)
            lost.setdefault(at, []).append(f"seed {record.cell.replicate} {outcome(record)}")
            continue
        for name, value in _measured(record, by_attack).items():
            own.setdefault(name, []).append(value)
            seeds_of.setdefault((trial, _place(record, by_attack)), set()).add(record.cell.replicate)
    for trial, place in lost:  # a mean over the seeds that went well would flatter the trial
        for name in (place, f"{place} UP", f"{place} LP"):
            values[trial].pop(name, None)
    table = {t: {p: sum(v) / len(v) for p, v in own.items()} for t, own in values.items()}
    words = tuple(f"{trial}, {place}: {', '.join(why)}" for (trial, place), why in lost.items())
    places = tuple(sorted({place for values in table.values() for place in values}))
    seeds = tuple(sorted({r.cell.replicate for r in group}))
    places_seeds: dict[str, set[int]] = {}
    for (_, place), own_seeds in seeds_of.items():
        places_seeds.setdefault(place, set()).update(own_seeds)
    fewer = tuple(
        f"{trial}, {place}: {seeds_words(tuple(sorted(own)))}" for (trial, place), own in seeds_of.items()
        if own != places_seeds[place] and (trial, place) not in lost
    )  # fmt: skip
    return Trials(title, threat, seeds, places, table, by_attack, words, fewer=fewer)


def _with_worst(group: Trials, alone: Sequence[Record], attacked: Sequence[Record]) -> Trials:
    """``group``, the trials of a lock, with the highest RP of the attacks on each, a mean over seeds by attack.

    Args:
        group: of the records ``alone``.
        alone: the lock that is not attacked.
        attacked: the same lock under any attack.
    """
    settings = [r.cell.lock.explicit for r in alone]
    varying = _varying(settings)
    values: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for record in attacked:
        at = _trial(record.cell.lock.explicit, varying), _place(record, by_attack=False)
        if record.cell.lock.explicit in settings:
            attack = f"{label(record.cell.attack)} under {_threat(record.cell)}"
            own = values.setdefault(at, {}).setdefault(attack, {})
            if record.status == "ok" and record.RP is not None:  # else the trial has no worst case
                own[record.cell.replicate] = record.RP.value
    attacks = {attack for means in values.values() for attack in means}
    table = {trial: dict(own) for trial, own in group.table.items()}
    for (trial, place), means in values.items():
        every = set(means) == attacks and all(rps.keys() == {*group.seeds} for rps in means.values())
        if every and f"{place} UP" in table.get(trial, {}):
            table[trial][f"{place} worst RP"] = max(sum(rps.values()) / len(rps) for rps in means.values())
    places = tuple(sorted({place for own in table.values() for place in own}))
    counted = any(place.endswith(" worst RP") for place in places)
    names = tuple(sorted({attack.partition(" under ")[0] for attack in attacks})) if counted else ()
    return replace(group, table=table, places=places, attacks=names)


def _trial(explicit: Mapping[str, Any], varying: Sequence[str]) -> str:
    return ", ".join(f"{visible(k)} {value_text(explicit[k])}" for k in varying if k in explicit) or NOT_SET


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names whose value is not the same in all of ``settings``; of a lone trial all names."""
    names = sorted({name for explicit in settings for name in explicit})
    return [n for n in names if len({value_text(s[n]) if n in s else None for s in settings}) > 1] or names


def _order(explicit: Mapping[str, Any], varying: Sequence[str]) -> tuple[Any, ...]:
    """Order of a trial: what is not set first, then numbers by size, then text."""
    return tuple(
        (name in explicit, real(explicit.get(name)) is None, real(explicit.get(name)) or 0.0, str(explicit.get(name)))
        for name in varying
    )


def _measured(record: Record, by_attack: bool) -> dict[str, float]:
    """Accuracies by place."""
    cell, place = record.cell, _place(record, by_attack)
    read = ("RP",) if cell.attack.purpose != "no-attack" else ("UP", "LP")
    values = {name: value.value for name in read if (value := getattr(record, name)) is not None}
    return {place if name == "RP" else f"{place} {name}": value for name, value in values.items()}


def _place(record: Record, by_attack: bool) -> str:
    """Lock, scenario and key; a lock that is itself what varies is named without its settings."""
    cell = record.cell
    lock = label(cell.lock) if by_attack else name_text(cell.lock.name)
    return f"{lock} ({scenario_label(cell)}, {key_label(cell)})"


def _threat(cell: Cell) -> str:
    return threat_words(rights_of(cell))


def _columns(group: Trials) -> list[str]:
    return [*group.places, "mean"] if group.ranked else list(group.places)


def _cells(group: Trials, trial: str) -> list[str]:
    values = [group.table[trial].get(place) for place in group.places]
    return [trial, *map(number, values), *([number(group.mean(trial))] if group.ranked else [])]


def _caption(group: Trials) -> str:
    read = f"RP under {group.threat}" if group.threat else "UP and LP"
    best = f" Highest mean: {group.best}." if group.best else ""
    worst = f" Worst RP: the highest of {', '.join(group.attacks)}." if group.attacks else ""
    lost = f" Without what does not count: {'; '.join(group.lost)}." if group.lost else ""
    fewer = f" Not to be compared, since seeds are missing: {'; '.join(group.fewer)}." if group.fewer else ""
    return f"{read}; {seeds_words(group.seeds)}, judge-validation images, percent.{best}{worst}{lost}{fewer}"


def _markdown(group: Trials) -> str:
    headings = ["trial", *map(markdown, _columns(group))]
    lines = [[markdown(cell) for cell in _cells(group, trial)] for trial in group.table]
    table = markdown_table(headings, lines, "l" + "r" * (len(headings) - 1))
    return f"**{markdown(group.title)}.** {markdown(_caption(group))}\n\n{table}"
