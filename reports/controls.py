"""The controls that must stand beside a row, and the names that rows are joined by.

A row that lacks a control is shown without RP, advantage and rank, and says which is missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.ensemble import CURRENT
from bench.plan import renaming
from bench.records import Cell, PluginRef, Record

BASELINE = "from-scratch"
ENSEMBLE = "ensemble"
"""What stands as the attack of a row that was made from an ensemble's members."""
CALIBRATION = ("permuted-logits", "destroyed")
OPENED_BY = {"permuted-logits": "logit-surgery"}
"""The attack that a calibration lock is made for; the others are shown under the row's own attack."""
CONTROL_LOCKS = ("none", *CALIBRATION)
CONTROL_ATTACKS = ("none", BASELINE)
DATA_BUDGET = ("share", "unlabelled", "authorised")


@dataclass(frozen=True)
class Missing:
    """A control that a row lacks, and the command that makes it."""

    control: str
    command: str


def label(ref: PluginRef, **more: Any) -> str:
    """A plugin's name with what was set explicitly: ``modellock[decoys=fixed]``."""
    return _bracketed(ref.name, {**ref.explicit, **more})


def said(value: Any) -> str:
    """A parameter's value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bracketed(name: str, settings: Mapping[str, Any]) -> str:
    inside = ",".join(f"{k}={said(v)}" for k, v in sorted(settings.items()))
    return f"{name}[{inside}]" if inside else name


def _task_settings(cell: Cell) -> dict[str, Any]:
    """What was set explicitly of the task: it changes the data, so it belongs to the scenario."""
    known = {*cell.threat, *cell.budget}
    return {
        k: v
        for k, v in cell.explicit.items()
        if k not in known and not k.startswith(("threat.", "budget."))
    }  # fmt: skip


def scenario_of(cell: Cell) -> str:
    """The scenario's name, with the task settings that were set explicitly."""
    return _bracketed(cell.scenario, _task_settings(cell))


def role_of(cell: Cell) -> str:
    """method, control or given: a control on either side makes a control row."""
    lock, attack = cell.lock, cell.attack
    if "control" in (lock.role, attack.role) or lock.name in CONTROL_LOCKS or attack.name in CONTROL_ATTACKS:
        return "control"
    return "given" if lock.role == "given" else "method"


class Controls:
    """The control records of a pool, and which of them a row lacks."""

    def __init__(self, pool: Iterable[Record]) -> None:
        self._baselines: dict[tuple[Any, ...], Record] = {}
        self._calibrated: set[tuple[str, str, str]] = set()
        self._conditions: set[tuple[str, str, str, str]] = set()
        for record in pool:
            if record.status != "ok":
                continue
            cell = record.cell
            if record.conditions:
                self._conditions.add((scenario_of(cell), cell.model, label(cell.lock), label(cell.key)))
            if cell.attack.name == BASELINE and record.RP is not None:
                held = self._baselines.setdefault(self._budget(record), record)
                # The baseline is the best that public means reach: of several with one budget the best stands, chosen
                # as each chose among its trials, on judge-validation and never on test.
                if validated(record) > validated(held):
                    self._baselines[self._budget(record)] = record
            elif cell.lock.name in CALIBRATION and cell.attack.name != "none" and record.RP is not None:
                self._calibrated.add((scenario_of(cell), cell.model, cell.lock.name))

    @staticmethod
    def _budget(record: Record) -> tuple[Any, ...]:
        cell = record.cell
        keyed = label(cell.key) if cell.threat.get("authorised") else None  # authorised images depend on the key
        return scenario_of(cell), cell.model, cell.replicate, keyed, *(cell.threat.get(name) for name in DATA_BUDGET)

    def baseline(self, record: Record) -> Record | None:
        """The public baseline of ``record``'s scenario, model, replicate and data budget."""
        return self._baselines.get(self._budget(record))

    def missing(self, group: Sequence[Record]) -> tuple[Missing, ...]:
        """What the row made of ``group`` lacks."""
        first = group[0]
        cell, own = first.cell, first.cell.attack.name
        if own in CONTROL_ATTACKS:
            return ()
        lacks: list[Missing] = []
        seeds = ["--seeds", str(max(r.cell.replicate for r in group) + 1)]
        again = _command(first, cell.lock.name, own, seeds)
        needed = ["LP", "floor"] if cell.lock.role == "given" else ["LP", "floor", "oracle", "victim_authorised"]
        lacks += [Missing(name, again) for name in needed if any(getattr(r, name) is None for r in group)]
        if any(self.baseline(record) is None for record in group):
            budget = [x for k in DATA_BUDGET if k in cell.threat for x in ("-p", f"threat.{k}={said(cell.threat[k])}")]
            lacks.append(Missing("public baseline", _command(first, "none", BASELINE, [*seeds, *budget])))
        if role_of(cell) == "control":
            return tuple(lacks)
        place = (scenario_of(cell), cell.model)
        # Only an audit may come without its key, and so without key conditions.
        if cell.lock.role != "given" and (*place, label(cell.lock), label(cell.key)) not in self._conditions:
            lacks.append(Missing("key conditions", again))
        for lock in CALIBRATION:
            if (*place, lock) not in self._calibrated:
                threat = renaming(cell) if lock in OPENED_BY else {}
                more = [x for name, value in threat.items() for x in ("-p", f"{name}={said(value)}")]
                lacks.append(Missing(lock, _command(first, lock, OPENED_BY.get(lock, own), more)))
        return tuple(lacks)


def validated(record: Record) -> float:
    """RP on judge-validation images, percent; -1 for a record that has none."""
    return -1.0 if record.RP_validation is None else record.RP_validation.value


def _command(record: Record, lock: str, attack: str, more: Sequence[str] = ()) -> str:
    cell = record.cell
    settings = [x for k, v in sorted(_task_settings(cell).items()) for x in ("-p", f"{k}={said(v)}")]
    asked = ["--suite", CURRENT] if attack == ENSEMBLE else ["--attack", attack]
    words = ["bench", "run", "--lock", lock, *asked, "--task", cell.scenario, "--model", cell.model]
    return shlex.join([*words, *more, *settings])
