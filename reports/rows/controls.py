"""The controls that must stand beside a row, and the names that rows are joined by.

A row that lacks a control shows no RP, advantage and rank, and says which control is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.errors import UserError
from bench.plan import controls_of
from bench.plan.wording import key_label, label
from bench.plan.wording import scenario_label as scenario_of
from bench.plugin_source import PluginInfo
from bench.records import Cell, Record
from reports.rows.rerun import command_of

CALIBRATION = ("must-open", "must-not-open")
"""Purposes of the calibration locks: they show whether the attacks and the judge work."""
BY_PURPOSE = {
    "victim": frozenset({"lock-is-a-no-op", "up-not-above-lp"}),
    "must-open": frozenset({"lp-below-floor", "up-not-above-lp"}),
    "must-not-open": frozenset({"lp-below-floor", "up-not-above-lp"}),
}
"""Red flags that a control raises by its very purpose: they tell nothing, and no table prints them."""
DATA_BUDGET = ("share", "unlabelled", "authorised")
"""Fields of a threat model that decide the public baseline."""


@dataclass(frozen=True)
class Missing:
    """A control that a row lacks.

    Args:
        control: its name.
        command: the command that runs it.
    """

    control: str
    command: str


def expected_flags(lock_purpose: str) -> frozenset[str]:
    """The red flags that a lock with that purpose is expected to raise; none for a method."""
    return BY_PURPOSE.get(lock_purpose, frozenset())


def purpose_of(kind: str, name: str) -> str:
    """What the control ``name`` of ``kind`` is for; empty for any other plugin."""
    info = registry.current().get(kind, name)
    return "" if info is None else str(info.purpose)


def calibrates(cell: Cell) -> bool:
    """Whether the cell is of a calibration lock, under an attack that it is read by.

    The lock that must open is read by its opener alone: no other attack has to open it.
    """
    if cell.lock.purpose not in CALIBRATION or cell.attack.purpose:
        return False
    return reads(cell.lock.purpose, cell.attack.name)


def reads(purpose: str, attack: str) -> bool:
    """Whether the calibration lock with that purpose is read by ``attack``."""
    opener = registry.current().with_purpose("lock", purpose).opened_by
    return not opener or attack == opener


def role_of(cell: Cell) -> str:
    """method, control or given: a control on either side makes a control row."""
    lock, attack = cell.lock, cell.attack
    if "control" in (lock.role, attack.role):
        return "control"
    return "given" if lock.role == "given" else "method"


class Controls:
    """The control records of a pool, and which of them a row lacks.

    Imported controls stand beside imported rows alone; those measured here stand beside all.
    """

    def __init__(self, pool: Iterable[Record]) -> None:
        """Sort the controls of ``pool``: records of one split, each cell and replicate once, any status."""
        self._baselines: dict[tuple[Any, ...], Record] = {}
        self._imported: dict[tuple[Any, ...], Record] = {}
        self._calibrated: set[tuple[bool, str, str, str]] = set()
        self._conditions: set[tuple[bool, str, str, str, str]] = set()
        for record in pool:
            if record.status != "ok":
                continue
            cell, imported = record.cell, record.third_party is not None
            if any(condition.kind != "right" for condition in record.conditions):
                self._conditions.add((imported, scenario_of(cell), cell.model_name, label(cell.lock), key_label(cell)))
            if cell.attack.purpose == "public-baseline" and record.RP is not None:
                # The public baseline is the best that public means reach. So of several with one data budget the best
                # stands; judge-validation images decide, never test images.
                known = self._imported if imported else self._baselines
                best = known.setdefault(self._budget(record), record)
                if validated(record) > validated(best):
                    known[self._budget(record)] = record
            elif calibrates(cell) and record.RP is not None:
                self._calibrated.add((imported, scenario_of(cell), cell.model_name, cell.lock.purpose))

    @staticmethod
    def _budget(record: Record) -> tuple[Any, ...]:
        cell = record.cell
        keyed = key_label(cell) if cell.threat.authorised else None  # authorised images depend on the key
        return (
            scenario_of(cell),
            cell.model_name,
            cell.replicate,
            keyed,
            *(getattr(cell.threat, name) for name in DATA_BUDGET),
        )

    def baseline(self, record: Record) -> Record | None:
        """The public baseline of ``record``'s scenario, model, replicate, data and data budget, if there is one."""
        found = self._any_baseline(record)
        return found if found is not None and _on_same_data(found, record) else None

    def _any_baseline(self, record: Record) -> Record | None:
        """The same, whatever the data were: a folder may have changed under its name."""
        at = self._budget(record)
        imported = self._imported.get(at) if record.third_party is not None else None
        return self._baselines.get(at, imported)

    def missing(self, group: Sequence[Record]) -> tuple[Missing, ...]:
        """What the row made of ``group`` lacks."""
        first = group[0]
        cell, own = first.cell, first.cell.attack.name
        if cell.attack.purpose:
            return ()
        lacks: list[Missing] = []
        needed = ["LP", "floor"] if cell.lock.role == "given" else ["LP", "floor", "oracle", "victim_authorised"]
        unmeasured = [name for name in needed if any(getattr(r, name) is None for r in group)]
        lacks += [Missing(name, _command(group, cell.lock.name, own)) for name in unmeasured]
        elsewhere = [r for r in group if self._any_baseline(r) is not None and self.baseline(r) is None]
        if elsewhere:
            lacks.append(Missing("public baseline on the same data", _command(elsewhere, cell.lock.name, own)))
        alone = [record for record in group if self._any_baseline(record) is None]
        if alone:
            names = _control("lock", "victim").name, _control("attack", "public-baseline").name
            lacks.append(Missing("public baseline", _command(alone, *names)))
        if role_of(cell) == "control":
            return tuple(lacks)
        place = (scenario_of(cell), cell.model_name)
        sources = {False, first.third_party is not None}
        # Only an audit may come without its key, and so without key conditions.
        named = (*place, label(cell.lock), key_label(cell))
        if cell.lock.role != "given" and not any((s, *named) in self._conditions for s in sources):
            lacks.append(Missing("key conditions", _command(group, cell.lock.name, own)))
        for purpose in CALIBRATION:
            if not any((s, *place, purpose) in self._calibrated for s in sources):
                lock = _control("lock", purpose)
                lacks.append(Missing(lock.name, _command(group[:1], lock.name, lock.opened_by or own)))
        return tuple(lacks)


def _on_same_data(one: Record, other: Record) -> bool:
    """Whether both were judged on the same data, as far as they say."""
    prints = {r.provenance.data_fingerprint for r in (one, other)} - {""}
    counts = {r.RP.n for r in (one, other) if r.RP is not None}
    return len(prints) < 2 and len(counts) < 2


def _control(kind: str, purpose: str) -> PluginInfo:
    return registry.current().with_purpose(kind, purpose)


def validated(record: Record) -> float:
    """RP on judge-validation images, percent; -1 for a record that has none."""
    return -1.0 if record.RP_validation is None else record.RP_validation.value


def _command(group: Sequence[Record], lock: str, attack: str) -> str:
    """The command of the control with that lock and attack: of its cell in the plan, or else of the row's."""
    first = group[0]
    method = first.cell.model_copy(update={"lock": first.cell.lock.model_copy(update={"role": "method"})})
    try:
        beside = [cell for cell, _ in controls_of(method)]
    except UserError:  # a plugin that is not installed, or an ensemble, whose own command runs every control
        beside = []
    cell = next((c for c in beside if (c.lock.name, c.attack.name) == (lock, attack)), first.cell)
    return command_of(
        cell, [record.cell.replicate for record in group], first.provenance.threads, first.provenance.dtype
    )
