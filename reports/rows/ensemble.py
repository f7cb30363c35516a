"""The worst case over a fixed list of attacks: an ensemble's rows, from its members' records.

For each lock and threat model of the list, one member stands for the ensemble: the one that does best on
judge-validation images. Its test numbers are reported. Nothing is run for an ensemble.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench import datasets, plan
from bench.errors import UserError
from bench.hashing import digest
from bench.plan import ensemble
from bench.records import Cell, PluginRef, Record
from bench.selection import SelectionRule
from bench.threat import Budget, ThreatModel
from reports.rows.controls import validated
from reports.rows.reasons import outcome
from reports.rows.row import EnsembleCase

SELECTION = SelectionRule("worst-member", "the worst member on judge-validation images")


def member_name(member: ensemble.Member) -> str:
    """An attack with the settings that the list gives it."""
    inside = ",".join(f"{name}={value}" for name, value in member.settings.items())
    return f"{member.attack}[{inside}]" if inside else member.attack


def worst_cases(records: Iterable[Record], name: str = ensemble.CURRENT) -> list[tuple[Record, EnsembleCase]]:
    """A record for each lock × scenario × model × threat model × seed of which at least two members were measured.

    The record is that of the worst member, under the ensemble's name and row key. Its hash stays the same, so a store
    finds its evidence.

    Args:
        records: of one split, each cell and replicate once, any status.
        name: of the ensemble.
    """
    listed = ensemble.read(name)
    views = {threat.name: threat.model for threat in listed.threats}
    pools: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        measured = record.RP is not None or record.status != "ok"
        if record.cell.lock.role != "control" and measured:
            for threat, view in views.items():
                if record.cell.threat == view:
                    pools.setdefault((threat, _place(record.cell)), []).append(record)
    known = {key: _Measured.of(listed.threat(key[0]), pool) for key, pool in pools.items()}
    out = []
    for (threat, place), own in sorted(known.items(), key=lambda item: item[0]):
        weaker = {
            name: known[name, place]
            for name, less in views.items()
            if listed.nested and name != threat and (name, place) in known
            and _within(less, views[threat], pools[threat, place][0].cell)
        }  # fmt: skip
        out += _of_place(listed, listed.threat(threat), own, weaker)
    return out


@dataclass(frozen=True)
class _Measured:
    """What was measured of the members of one threat model against one lock.

    Args:
        members: the names of those that can run here.
        by_seed: the record of each member that counts, by seed and name.
        left_out: why a member does not count, by its name and seed.
    """

    members: list[str]
    by_seed: dict[int, dict[str, Record]]
    left_out: dict[str, dict[int, str]]

    @classmethod
    def of(cls, threat: ensemble.Threat, pool: Sequence[Record]) -> _Measured:
        """That of the records in ``pool``, at least one."""
        names = _members(threat, pool[0].cell)
        out = cls(list(names.values()), {}, {})
        for record in sorted(pool, key=lambda r: r.cell.replicate):
            name, seed = names.get(_attack(record.cell)), record.cell.replicate
            if name is None:
                continue
            if record.status != "ok":
                out.left_out.setdefault(name, {})[seed] = outcome(record)
            elif record.RP_validation is not None:
                out.by_seed.setdefault(seed, {})[name] = record
        return out


def _members(threat: ensemble.Threat, cell: Cell) -> dict[str, str]:
    """The names of the members that can run against the lock of ``cell``, by `_attack`."""
    out = {}
    for member in threat.members:
        try:
            planned = plan.cell_under(cell, member.attack, {**threat.params, **member.params})
        except UserError:
            continue  # a member that cannot run here is none
        if planned is not None:
            out[_attack(planned)] = member_name(member)
    return out


def _of_place(
    listed: ensemble.Ensemble, threat: ensemble.Threat, own: _Measured, weaker: Mapping[str, _Measured]
) -> list[tuple[Record, EnsembleCase]]:
    """The ensemble under one threat model against one lock, by seed.

    A member whose result does not count stands for nothing, and is named. What a weaker attacker reaches, a stronger
    one reaches too.
    """
    by_seed = {seed: dict(records) for seed, records in own.by_seed.items()}
    for under, less in weaker.items():
        for seed in by_seed.keys() & less.by_seed.keys():
            by_seed[seed] |= {f"{name} under {under}": record for name, record in less.by_seed[seed].items()}
    if max(map(len, by_seed.values()), default=0) < 2:
        return []
    missing = {
        name
        for seed, records in by_seed.items()
        for name in own.members
        if name not in records and seed not in own.left_out.get(name, {})
    }
    best = {seed: max((validated(record), name) for name, record in some.items())[1] for seed, some in by_seed.items()}
    case = EnsembleCase(
        listed.version, threat.name, best,
        {seed: max(r.RP.value for r in some.values() if r.RP) for seed, some in by_seed.items()},
        tuple(sorted(missing)), len(own.members), own.left_out,
        tuple(sorted(set.intersection(*({r.row_key for r in some.values()} for some in by_seed.values())))),
    )  # fmt: skip
    return [(_renamed(by_seed[seed][best[seed]], listed, threat), case) for seed in sorted(by_seed)]


def _renamed(record: Record, listed: ensemble.Ensemble, threat: ensemble.Threat) -> Record:
    attack = PluginRef(
        name=ensemble.ENSEMBLE, explicit={"version": listed.version, "threat": threat.name}, selection=SELECTION
    )
    cell = record.cell.model_copy(update={"attack": attack, "budget": Budget(), "threat": threat.model})
    return record.model_copy(update={"cell": cell, "row_key": cell.row_key()})


def _within(less: ThreatModel, more: ThreatModel, cell: Cell) -> bool:
    """Whether who has ``more`` has all that ``less`` has there; two domains have no editor and no word to know."""
    if datasets.pair(cell.scenario) is None:
        return less.within(more)
    return less.replace(known="none", wordlist="none").within(more.replace(known="none", wordlist="none"))


def _place(cell: Cell) -> str:
    row = cell.row()
    return digest({k: v for k, v in row.items() if k not in ("attack", "threat", "budget")})


def _attack(cell: Cell) -> str:
    """What tells members apart: the attack, its parameters and its budget."""
    row = cell.row()
    return digest({name: row[name] for name in ("attack", "budget")})
