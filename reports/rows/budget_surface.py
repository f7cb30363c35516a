"""RP against what the attacker may spend: rows that differ in budgets alone, and what half of the loss costs.

`bench run --sweep threat.share=0.01,0.05,0.1 --sweep attack.steps=100,400` makes such rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.plan.wording import bracketed, settings_of, unusual_rights, value_text, with_key
from reports.rows.aggregate import half_costs
from reports.rows.real import real
from reports.rows.row import Row

AXES = ("threat.share", "threat.authorised", "threat.leaked", "attack.steps")
"""What counts as spending, beside every limit of the budget (``budget.*``)."""
WORDS = {
    "threat.share": "labelled share of unauthorised images",
    "threat.authorised": "labelled share of authorised images",
    "threat.leaked": "leaked pairs",
    "attack.steps": "optimiser steps",
    "budget.steps": "optimiser steps",
    "budget.queries": "queries",
    "budget.edited": "edited images",
    "budget.guesses": "guesses",
    "budget.calls": "calls of a language model",
    "budget.seconds": "seconds",
}


@dataclass(frozen=True)
class Surface:
    """Rows of one lock under one attack that differ in ``axes`` alone.

    Args:
        lock, key, scenario, model: as in the rows.
        attack: its name with what was set and is no axis.
        rights: what is unusual of its threat model and is no axis, as the command line takes it.
        axes: as the command line names them, the one with most values first.
        points: the rows by their values of ``axes``.
        left: values of ``axes`` that have no point, with the status and the reason.
    """

    lock: str
    key: str
    attack: str
    rights: str
    scenario: str
    model: str
    axes: tuple[str, ...]
    points: dict[tuple[float, ...], Row]
    left: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What tells the surface from others, in words."""
        return self.scenario, self.model, self.lock, self.key, self.attack, self.rights

    @property
    def title(self) -> str:
        """What the surface is of."""
        under = f" ({self.rights})" if self.rights else ""
        return f"{with_key(self.lock, self.key)} × {self.attack}{under}, {self.scenario} · {self.model}"

    def lines(self) -> dict[tuple[float, ...], list[tuple[float, Row]]]:
        """By the values of the further axes, pairs of the first axis's value and its row, in that value's order."""
        out: dict[tuple[float, ...], list[tuple[float, Row]]] = {}
        for at, row in sorted(self.points.items()):
            out.setdefault(at[1:], []).append((at[0], row))
        return out

    def half_costs(self) -> dict[tuple[float, ...], float | None]:
        """For each line the least value of the first axis with mean RP >= LP + (oracle - LP) / 2; None: never."""
        return {rest: next((x for x, row in line if _half_back(row)), None) for rest, line in self.lines().items()}


def surfaces(rows: Iterable[Row]) -> list[Surface]:
    """Every surface among ``rows``: at least two rows with RP that differ in spending alone."""
    groups: dict[tuple[Any, ...], list[tuple[dict[str, float], Row]]] = {}
    for row in rows:
        if row.role == "control" or row.ensemble is not None or (row.status == "ok" and row.values["RP"] is None):
            continue
        if row.status not in ("ok", "invalid", "failed"):
            continue
        spent = _spending(row)
        rest = {k: v for k, v in _flat(row).items() if k not in spent}
        same = tuple(sorted((k, value_text(v)) for k, v in rest.items()))
        at = (row.scenario, row.model, row.lock, row.key, row.attack_name, same, tuple(sorted(spent)))
        groups.setdefault(at, []).append((spent, row))
    out = []
    for pool in groups.values():
        members = [(spent, row) for spent, row in pool if row.status == "ok"]
        counts = {name: len({spent.get(name) for spent, _ in members}) for name in {n for s, _ in members for n in s}}
        axes = tuple(sorted((n for n, c in counts.items() if c > 1), key=lambda n: (-counts[n], n)))
        if not axes:
            continue
        first = members[0][1]
        points = {tuple(s[n] for n in axes): row for s, row in members}
        attack = bracketed(first.attack_name, {k: v for k, v in first.attack_set.items() if f"attack.{k}" not in axes})
        threat = {k: v for k, v in first.threat.items() if k != "budget"}
        unusual = unusual_rights(threat, first.threat.get("budget") or {})
        rights = ", ".join(settings_of({k: v for k, v in unusual.items() if k not in axes}))
        left = tuple(
            f"{', '.join(f'{WORDS[n]} {s[n]:g}' for n in axes)}: {row.status}"
            + (f", {row.reason}" if row.reason else "")
            for s, row in pool
            if row.status != "ok"
        )
        names = (first.lock, first.key, attack, rights, first.scenario, first.model)
        out.append(Surface(*names, axes, points, left))
    return out


def captions(surfaces: Sequence[Surface]) -> list[str]:
    """What half of the lost performance costs: one sentence for each surface."""
    lines = []
    for surface in surfaces:
        first, *others = surface.axes
        costs = []
        for rest, cost in surface.half_costs().items():
            beside = ", ".join(f"{WORDS[n]} {v:g}" for n, v in zip(others, rest, strict=True))
            costs.append(("never" if cost is None else f"{cost:g}") + (f" ({beside})" if beside else ""))
        left = f" Without what does not count: {'; '.join(surface.left)}." if surface.left else ""
        lines.append(f"Half-recovery cost of {surface.title}, {WORDS[first]}: {'; '.join(costs)}.{left}")
    return lines


def halves_words(row: Row) -> str:
    """``4 (seed 0), never (seed 1)``: the guess at which half of the loss was back; empty for what does not guess."""
    halves = (half_costs(row) or {}).get("guesses", [])
    return ", ".join(
        f"{'never' if half is None else f'{half:g}'} (seed {seed})"
        for seed, half in zip(row.seeds, halves, strict=bool(halves))
    )


def _half_back(row: Row) -> bool:
    rp, lp, oracle = (row.mean(name) for name in ("RP", "LP", "oracle"))
    return rp is not None and lp is not None and oracle is not None and oracle > lp and rp >= lp + (oracle - lp) / 2


def _flat(row: Row) -> dict[str, Any]:
    budget = {f"budget.{k}": v for k, v in (row.threat.get("budget") or {}).items()}
    threat = {f"threat.{k}": v for k, v in row.threat.items() if k != "budget"}
    return {**threat, **budget, **{f"attack.{k}": v for k, v in row.attack_set.items()}}


def _spending(row: Row) -> dict[str, float]:
    spent = {k: real(v) for k, v in _flat(row).items() if k in AXES or k in WORDS}
    return {k: v for k, v in spent.items() if v is not None}
