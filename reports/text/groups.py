"""The tables of a report: one for each scenario and model, with its blocks, names and letters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.plan.wording import with_key
from reports.rows.row import Row
from reports.text.formatting import threat_words

COST = 6.0
"""Points that UP may lie under the victim before a lock is not ranked: it would be cheap to hold by being useless."""


def costly(row: Row) -> bool | None:
    """Whether UP is more than `COST` points under the victim; None where either is not known."""
    up, victim = row.mean("UP"), row.mean("victim_authorised")
    # Decimal percentages differ by rounding error; a gap of exactly 6 points is within.
    return None if up is None or victim is None else victim - up > COST + 1e-9


@dataclass(frozen=True)
class Block:
    """Rows of one table under a heading of their own; ``pinned`` ones are never filtered away."""

    heading: str
    rows: list[Row]
    pinned: bool = False


@dataclass(frozen=True)
class Group:
    """The rows of one table: one scenario and one model, methods and controls apart; ``threats`` names by letter."""

    scenario: str
    model: str
    methods: list[Row]
    controls: list[Row]
    threats: dict[str, str]

    @property
    def rows(self) -> list[Row]:
        """All rows in table order."""
        return [*self.methods, *self.controls]

    @property
    def metric(self) -> str:
        """What percentages are of: ``accuracy`` or ``mIoU``."""
        return next((row.metric for row in self.rows), "accuracy")

    def threat(self, row: Row) -> str:
        """The letter of ``row``'s threat model in this table."""
        return self.threats[threat_words(row.threat)]

    def blocks(self) -> list[Block]:
        """The rows of a table by what may be ranked; calibration locks and other controls always stand below."""
        by_cost = self._by_cost()
        cost = f"{COST:g} points"
        listed = [
            Block(f"Locks whose UP is within {cost} of the victim, least worst-case advantage first", by_cost[False]),
            Block(f"Unranked: UP more than {cost} under the victim", by_cost[True]),
            Block("Unranked: UP or the victim is not known", by_cost[None]),
            Block("No result, as failed, invalid or not measured", [row for row in self.methods if row.status != "ok"]),
            Block("Controls and calibration locks, not ranked", self.controls, pinned=True),
        ]
        return [block for block in listed if block.rows]

    def rankable(self) -> list[Row]:
        """The rows of locks that are not too costly to be ranked."""
        return self._by_cost()[False]

    def _by_cost(self) -> dict[bool | None, list[Row]]:
        """Measured rows of methods, by whether their lock is too costly for a rank (None: not known)."""
        costs: dict[tuple[str, str], tuple[int, bool | None]] = {}
        for row in self.methods:
            known = costly(row)
            seeds = len(row.seeds) if known is not None else 0
            if seeds >= costs.get((row.lock, row.key), (0, None))[0]:
                costs[row.lock, row.key] = (seeds, known)
        ok = [row for row in self.methods if row.status == "ok"]
        return {c: [row for row in ok if costs[row.lock, row.key][1] is c] for c in (False, True, None)}

    def lock_rows(self) -> list[Row]:
        """One row for each lock and key that has key conditions: the one with the most seeds."""
        best: dict[tuple[str, str], Row] = {}
        for row in self.rows:
            other = best.get((row.lock, row.key))
            if row.conditions and (other is None or len(row.seeds) > len(other.seeds)):
                best[row.lock, row.key] = row
        return list(best.values())


def grouped(rows: Iterable[Row]) -> list[Group]:
    """``rows`` by scenario and model, in the order given."""
    by_place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_place.setdefault((row.scenario, row.model), []).append(row)
    groups = []
    for (scenario, model), members in by_place.items():
        methods = [row for row in members if row.role != "control"]
        controls = [row for row in members if row.role == "control"]
        groups.append(Group(scenario, model, methods, controls, letters(members)))
    return groups


def letters(rows: Iterable[Row]) -> dict[str, str]:
    """A letter for each threat model of ``rows``, in their order: a to z, then aa, ab and so on."""
    words = dict.fromkeys(threat_words(row.threat) for row in rows)
    return {text: _letter(i) for i, text in enumerate(words)}


def _letter(i: int) -> str:
    return ("" if i < 26 else _letter(i // 26 - 1)) + chr(ord("a") + i % 26)


def title(group: Group) -> str:
    """The heading of a group's tables."""
    return f"{group.scenario} · {group.model}"


def flag_numbers(group: Group) -> dict[str, int]:
    """The number under which each flag of the group is explained."""
    return {name: i for i, name in enumerate(dict.fromkeys(n for row in group.rows for n in row.flags), start=1)}


def row_name(group: Group, row: Row) -> str:
    """``modellock (edit) × prompt-search (a)``."""
    return f"{lock_name(row)} × {row.attack} ({group.threat(row)})"


def lock_name(row: Row) -> str:
    """``modellock (edit)``: the lock with its key, so that no two rows of a table read alike."""
    return with_key(row.lock, row.key)
