"""Trials on tuning seeds, side by side: what a default was chosen by. They are no results, and need no controls.

Trials of an attack are read by RP, those of a lock by UP and LP; all on judge-validation images, in percent.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bench.errors import UserError
from bench.plan.wording import in_short, key_label, label, name_text, value_text
from bench.records import Cell, Record
from reports.rows.aggregate import current, names_of, rights_of
from reports.text.formatting import number, seeds_words, threat_words
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
    A mean over what a lock keeps and what it leaves says nothing.
    """

    title: str
    threat: str
    seeds: tuple[int, ...]
    places: tuple[str, ...]
    table: Mapping[str, Mapping[str, float]]
    ranked: bool

    @property
    def best(self) -> str | None:
        """The trial with the highest mean, where they are ranked and all were run everywhere."""
        means = {trial: mean for trial in self.table if (mean := self.mean(trial)) is not None}
        return max(means, key=lambda t: means[t]) if self.ranked and len(means) == len(self.table) else None

    def mean(self, trial: str) -> float | None:
        """Over all places; None where one is missing."""
        values = self.table[trial]
        return sum(values.values()) / len(values) if len(values) == len(self.places) else None


def trials(records: Iterable[Record]) -> list[Trials]:
    """What of ``records`` was judged on judge-validation, by attack and threat model, else by lock and key."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in current(records, "judge-validation"):
        cell = record.cell
        attacked = cell.attack.purpose != "no-attack"
        what = (cell.attack.name, _threat(cell)) if attacked else (f"{cell.lock.name}, key {cell.key.name}", "")
        groups.setdefault((cell.model, *what), []).append(record)
    return [_trials(f"{what} · {model}", threat, groups[model, what, threat]) for model, what, threat in sorted(groups)]


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
        frame(records).to_csv(text, index=False, float_format="%.4f", lineterminator="\n")
        return text.getvalue()
    if fmt == "json":
        return json.dumps(frame(records).to_dict("records"), indent=2, ensure_ascii=False)
    if fmt != "md":
        raise UserError(f"tuning trials have no format '{fmt}'.", f"Choose one of {', '.join(FORMATS)}.")
    return "\n\n".join(map(_markdown, trials(records))) or EMPTY


@dataclass(frozen=True)
class Board:
    """A rich renderable of trials; the best of an attack's is bold."""

    groups: Sequence[Trials]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table for each attack or lock that was tuned."""
        if not self.groups:
            yield Text(EMPTY)
        for group in self.groups:
            yield Rule(Text(group.title, style="bold"), align="left")
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column("trial", overflow="fold")
            for place in _columns(group):
                table.add_column(Text(place), justify="right", overflow="fold")
            for trial in group.table:
                table.add_row(*map(Text, _cells(group, trial)), style="bold" if trial == group.best else None)
            yield table
            yield Padding(Text(_caption(group), style="dim", overflow="fold"), (0, 0, 1, 2))


def terminal(records: Iterable[Record]) -> Board:
    """The trials among ``records`` as a rich renderable."""
    return Board(trials(records))


def _trials(title: str, threat: str, group: Sequence[Record]) -> Trials:
    attacked = any(r.cell.attack.purpose != "no-attack" for r in group)
    locks_vary = len({label(r.cell.lock) for r in group}) > len({r.cell.lock.name for r in group})
    by_attack = len({label(r.cell.attack) for r in group}) > 1 or (attacked and not locks_vary)
    tuned = "attack" if by_attack else "lock"
    settings = [getattr(r.cell, tuned).explicit for r in group]
    varying = _varying(settings) or sorted({name for explicit in settings for name in explicit})  # a lone trial: all
    values: dict[str, dict[str, list[float]]] = {}
    for record in sorted(group, key=lambda r: _order(getattr(r.cell, tuned).explicit, varying)):
        explicit = getattr(record.cell, tuned).explicit
        trial = ", ".join(f"{k} {value_text(explicit[k])}" for k in varying if k in explicit) or NOT_SET
        for place, value in _measured(record, by_attack).items():
            values.setdefault(trial, {}).setdefault(place, []).append(value)
    table = {t: {p: sum(v) / len(v) for p, v in own.items()} for t, own in values.items()}
    places = tuple(sorted({place for values in table.values() for place in values}))
    seeds = tuple(sorted({r.cell.replicate for r in group}))
    return Trials(title, threat, seeds, places, table, by_attack)


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names whose value is not the same in all of ``settings``."""
    names = {name for explicit in settings for name in explicit}
    return sorted(n for n in names if len({value_text(s[n]) if n in s else None for s in settings}) > 1)


def _order(explicit: Mapping[str, Any], varying: Sequence[str]) -> tuple[Any, ...]:
    """Order of a trial: what is not set first, then by value."""
    return tuple((name in explicit, explicit.get(name, 0)) for name in varying)


def _measured(record: Record, by_attack: bool) -> dict[str, float]:
    """Accuracies by place; a lock that is itself what varies is not part of the place."""
    cell = record.cell
    names = names_of(cell)
    key = "" if names["key"] == cell.key.name else f", {names['key']}"
    place = f"{names['lock'] if by_attack else cell.lock.name} ({names['scenario']}{key})"
    read = ("RP",) if cell.attack.purpose != "no-attack" else ("UP", "LP")
    values = {name: value.value for name in read if (value := getattr(record, name)) is not None}
    return {place if name == "RP" else f"{place} {name}": value for name, value in values.items()}


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
    return f"{read}; {seeds_words(group.seeds)}, judge-validation images, percent.{best}"


def _markdown(group: Trials) -> str:
    headings = ["trial", *_columns(group)]
    lines = [_cells(group, trial) for trial in group.table]
    table = markdown_table(headings, lines, "l" + "r" * (len(headings) - 1))
    return f"**{group.title}.** {_caption(group)}\n\n{table}"
