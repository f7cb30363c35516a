"""The controls that must stand beside a row, and the names that rows are joined by.

A row that lacks a control is shown without RP, advantage and rank, and says which is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.plan import controls_of
from bench.records import THIRD_PARTY, Cell, PluginRef, Record
from reports.rows.rerun import command_of

BASELINE = "from-scratch"
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
        self._imported: dict[tuple[Any, ...], Record] = {}
        self._calibrated: set[tuple[bool, str, str, str]] = set()
        self._conditions: set[tuple[bool, str, str, str, str]] = set()
        for record in pool:
            if record.status != "ok":
                continue
            cell, imported = record.cell, THIRD_PARTY in record.notes
            if record.conditions:
                self._conditions.add((imported, scenario_of(cell), cell.model, label(cell.lock), label(cell.key)))
            if cell.attack.name == BASELINE and record.RP is not None:
                # The baseline is the best that public means reach: of several with one budget the best stands, chosen
                # as each chose among its trials, on judge-validation and never on test.
                known = self._imported if imported else self._baselines
                held = known.setdefault(self._budget(record), record)
                if validated(record) > validated(held):
                    known[self._budget(record)] = record
            elif cell.lock.name in CALIBRATION and cell.attack.name != "none" and record.RP is not None:
                self._calibrated.add((imported, scenario_of(cell), cell.model, cell.lock.name))

    @staticmethod
    def _budget(record: Record) -> tuple[Any, ...]:
        cell = record.cell
        keyed = label(cell.key) if cell.threat.get("authorised") else None  # authorised images depend on the key
        return scenario_of(cell), cell.model, cell.replicate, keyed, *(cell.threat.get(name) for name in DATA_BUDGET)

    def baseline(self, record: Record) -> Record | None:
        """The public baseline of ``record``'s scenario, model, replicate and data budget; others' for theirs alone."""
        at = self._budget(record)
        imported = self._imported.get(at) if THIRD_PARTY in record.notes else None
        return self._baselines.get(at, imported)

    def missing(self, group: Sequence[Record]) -> tuple[Missing, ...]:
        """What the row made of ``group`` lacks."""
        first = group[0]
        cell, own = first.cell, first.cell.attack.name
        if own in CONTROL_ATTACKS:
            return ()
        lacks: list[Missing] = []
        needed = ["LP", "floor"] if cell.lock.role == "given" else ["LP", "floor", "oracle", "victim_authorised"]
        unmeasured = [name for name in needed if any(getattr(r, name) is None for r in group)]
        lacks += [Missing(name, _command(group, cell.lock.name, own)) for name in unmeasured]
        alone = [record for record in group if self.baseline(record) is None]
        if alone:
            lacks.append(Missing("public baseline", _command(alone, "none", BASELINE)))
        if role_of(cell) == "control":
            return tuple(lacks)
        place = (scenario_of(cell), cell.model)
        # What others measured stands beside their rows alone; what was measured here, beside all.
        sources = {False, THIRD_PARTY in first.notes}
        # Only an audit may come without its key, and so without key conditions.
        named = (*place, label(cell.lock), label(cell.key))
        if cell.lock.role != "given" and not any((s, *named) in self._conditions for s in sources):
            lacks.append(Missing("key conditions", _command(group, cell.lock.name, own)))
        for lock in CALIBRATION:
            if not any((s, *place, lock) in self._calibrated for s in sources):
                lacks.append(Missing(lock, _command(group[:1], lock, OPENED_BY.get(lock, own))))
        return tuple(lacks)


def validated(record: Record) -> float:
    """RP on judge-validation images, percent; -1 for a record that has none."""
    return -1.0 if record.RP_validation is None else record.RP_validation.value


def _command(group: Sequence[Record], lock: str, attack: str) -> str:
    """What makes the control of that lock and attack: as the plan makes it beside the row, or else with the row."""
    first = group[0]
    method = first.cell.model_copy(update={"lock": first.cell.lock.model_copy(update={"role": "method"})})
    try:
        beside = [cell for cell, _ in controls_of(method)]
    except UserError:  # a plugin that is not installed here, or an ensemble: its row's command makes every control
        beside = []
    cell = next((c for c in beside if (c.lock.name, c.attack.name) == (lock, attack)), first.cell)
    return command_of(cell, [record.cell.replicate for record in group], first.provenance.threads)
