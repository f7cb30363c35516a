"""What a row of a table is. Every table, picture, page and gate reads these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import red_flags
from bench.records import condition_name
from reports.rows.controls import Missing
from reports.rows.intervals import Value

MEASURED = ("UP", "LP", "UP_shipped", "LP_shipped", "RP", "victim_authorised", "oracle", "authorised_after")
DERIVED = ("floor", "public_baseline", "recovery", "advantage")
VALUES = (*MEASURED, *DERIVED)

MARGIN = 5.0
"""Points by which the lower bound of the advantage must exceed 0 before a lock is called broken."""


@dataclass(frozen=True)
class EnsembleCase:
    """The members and the choice behind an ensemble's row.

    Args:
        version: of the list; tables of different versions are not comparable.
        threat: the threat model's name in the list.
        chosen: by seed, the member that stands for the ensemble.
        optimistic: by seed, the maximum of RP over the members' test numbers, percent: a choice by what is reported.
        missing: members that were not measured for every seed.
        members: how many there are for this lock and task.
        row_keys: of the members that count in every seed; a row of another one may stand for the lock beside it.
        left_out: by member whose result does not count in some seed, the status and the reason by seed.
    """

    version: int
    threat: str
    chosen: Mapping[int, str]
    optimistic: Mapping[int, float]
    missing: tuple[str, ...]
    members: int
    left_out: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    row_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConditionRow:
    """The locked model under one key condition, over seeds.

    Args:
        kind, label: as in `bench.records.Condition`.
        what: what was applied, by seed where it differs.
        accuracy: over the K classes.
        shipped: over all shipped outputs.
        n: images of a seed.
    """

    kind: str
    label: str
    what: str
    accuracy: Value
    shipped: Value | None
    n: int | None = None

    @property
    def name(self) -> str:
        """Kind and label as tables print them."""
        return condition_name(self.kind, self.label)

    @property
    def applied(self) -> str:
        """What was applied, in words: ``no key`` under the condition without one."""
        return "no key" if self.kind == "none" and self.what in ("", "none", "no key") else self.what


@dataclass(frozen=True)
class Row:
    """One row of a table: the replicates of one row key that share a status.

    ``values`` has every name of `VALUES`, None where not measured or not to be shown.

    | field | what it holds |
    |---|---|
    | role | method, control or given |
    | lock_purpose, attack_purpose | what a control is for |
    | task, architecture | names alone, without settings, as the command line takes them |
    | threat | fields of the threat model, and ``budget`` with its limits |
    | n | test images of each seed |
    | curve | for each seed the judged submissions: meter readings with ``RP``, ``validation`` and ``note`` |
    | drops | what `reports.rows.domain` derives, for a lock on two domains without an attack |
    | ensemble | what stands behind the row of an ensemble |
    | attack_set | the attack's parameters that were set |
    | lock_cost | what the lock costs by name, means over seeds, None where not known |
    | reason | why an invalid row is invalid |
    | metric | what its percentages are of: ``accuracy`` or ``mIoU`` |
    | others | seeds of the same row key that are in another row, by their status |
    """

    row_key: str
    scenario: str
    model: str
    lock: str
    key: str
    attack: str
    lock_name: str
    attack_name: str
    role: str
    lock_purpose: str
    attack_purpose: str
    task: str
    architecture: str
    threat: dict[str, Any]
    seeds: tuple[int, ...]
    n: tuple[int | None, ...]
    status: str
    values: Mapping[str, Value | None]
    curve: dict[int, list[dict[str, Any]]] | None = None
    meter: dict[str, Any] | None = None
    conditions: tuple[ConditionRow, ...] = ()
    selection: str | None = None
    transductive: bool = False
    flags: dict[str, int] = field(default_factory=dict)
    flag_details: dict[str, str] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    error: str | None = None
    drops: Mapping[str, Value | None] | None = None
    ensemble: EnsembleCase | None = None
    attack_set: Mapping[str, Any] = field(default_factory=dict)
    lock_cost: Mapping[str, float | None] = field(default_factory=dict)
    reason: str = ""
    metric: str = "accuracy"
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What is attacked: a lock with its settings, somewhere."""
        return self.scenario, self.model, self.lock, self.key

    def mean(self, name: str) -> float | None:
        """The mean of a field of `VALUES`."""
        value = self.values[name]
        return None if value is None else value.mean

    def of_seed(self, name: str, seed: int) -> float | None:
        """A field of `VALUES` for one of ``seeds``."""
        value = self.values[name]
        return None if value is None else value.per_seed[self.seeds.index(seed)]

    @property
    def is_locked(self) -> bool:
        """Whether there is a lock to open: LP is near the floor, or the rightful user gets more in some seed.

        Where there is no key, authorised images are the raw ones, and nothing tells.
        """
        lp, floor = self.mean("LP"), self.mean("floor")
        closed = lp is not None and floor is not None and lp <= floor + red_flags.USELESS
        return closed or self.key == "none" or self.flags.get("up-not-above-lp", 0) < max(len(self.seeds), 1)

    @property
    def broken(self) -> bool | None:
        """RP > LP and the advantage's lower bound above `MARGIN`; None without an interval or for a control."""
        advantage, rp, lp = (self.values[name] for name in ("advantage", "RP", "LP"))
        bounds = None if advantage is None else advantage.bounds
        if self.role == "control" or bounds is None or rp is None or lp is None:
            return None
        return rp.mean > lp.mean and bounds[0] > MARGIN

    @property
    def verdict(self) -> str:
        """The row in a word. An interval with `MARGIN` inside decides nothing, so it is not "not broken"."""
        if self.status != "ok":
            return self.status
        if self.role == "control":
            return "control"
        if self.broken:
            return "broken"
        advantage, rp, lp = (self.values[name] for name in ("advantage", "RP", "LP"))
        bounds = None if advantage is None else advantage.bounds
        if bounds is None or rp is None or lp is None:
            return "undecided"
        straddles = bounds[1] > MARGIN and rp.mean > lp.mean
        return "undecided" if straddles else "not broken by this attack"
