"""The worst case over a fixed list of attacks: an ensemble's rows, from its members' records.

For each lock and threat model of the list, one member stands for the ensemble: the one that does best on
judge-validation images. Its test numbers are reported. Nothing is run for an ensemble.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import plan
from bench.errors import UserError
from bench.hashing import digest
from bench.params import BadParameter
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
    views = {threat.name: _threat(threat) for threat in listed.threats}
    pools: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        measured = record.RP is not None or record.status != "ok"
        if record.cell.lock.role != "control" and measured:
            for threat, view in views.items():
                if record.cell.threat == view:
                    pools.setdefault((threat, _place(record.cell)), []).append(record)
    return [
        case
        for (threat, _), pool in sorted(pools.items(), key=lambda item: item[0])
        for case in _of_place(listed, listed.threat(threat), pool)
    ]


def _of_place(
    listed: ensemble.Ensemble, threat: ensemble.Threat, pool: Sequence[Record]
) -> list[tuple[Record, EnsembleCase]]:
    """The ensemble under one threat model against one lock, by seed.

    A member whose result does not count stands for nothing, and is named.
    """
    if len({_attack(record.cell) for record in pool if record.status == "ok"}) < 2:
        return []
    cell = pool[0].cell
    members = {}
    for member in threat.members:
        params = {**threat.params, **member.params}
        try:
            if not plan.fits(member.attack, cell.lock.name, cell.scenario, {**params, "lock.key": cell.key.name}):
                continue
            planned = plan.make_cell(
                cell.lock.name, member.attack, cell.scenario, cell.model,
                {**params, "lock.key": cell.key.name}, cell.replicate,
            )  # fmt: skip
        except (UserError, BadParameter):
            continue  # a member that cannot run here is none
        members[_attack(planned)] = member_name(member)
    by_seed: dict[int, dict[str, Record]] = {}
    left_out: dict[str, dict[int, str]] = {}
    for record in sorted(pool, key=lambda r: r.cell.replicate):
        if _attack(record.cell) not in members:
            continue
        if record.status != "ok":
            left_out.setdefault(members[_attack(record.cell)], {})[record.cell.replicate] = outcome(record)
        elif record.RP_validation is not None:
            by_seed.setdefault(record.cell.replicate, {})[members[_attack(record.cell)]] = record
    if not by_seed or max(map(len, by_seed.values())) < 2:
        return []
    names = list(members.values())
    missing = tuple(
        sorted({n for seed, own in by_seed.items() for n in names if n not in own and seed not in left_out.get(n, {})})
    )
    best = {seed: max((validated(record), name) for name, record in own.items())[1] for seed, own in by_seed.items()}
    case = EnsembleCase(
        listed.version, threat.name, best,
        {seed: max(r.RP.value for r in own.values() if r.RP) for seed, own in by_seed.items()},
        missing, len(members), left_out, tuple(sorted({r.row_key for own in by_seed.values() for r in own.values()})),
    )  # fmt: skip
    return [(_renamed(by_seed[seed][best[seed]], listed, threat), case) for seed in sorted(by_seed)]


def _renamed(record: Record, listed: ensemble.Ensemble, threat: ensemble.Threat) -> Record:
    attack = PluginRef(
        name=ensemble.ENSEMBLE, explicit={"version": listed.version, "threat": threat.name}, selection=SELECTION
    )
    cell = record.cell.model_copy(update={"attack": attack, "budget": Budget()})
    return record.model_copy(update={"cell": cell, "row_key": cell.row_key()})


def _threat(threat: ensemble.Threat) -> ThreatModel:
    return ThreatModel(**{k.partition(".")[2]: v for k, v in threat.params.items()})


def _place(cell: Cell) -> str:
    row = cell.row()
    return digest({k: v for k, v in row.items() if k not in ("attack", "threat", "budget")})


def _attack(cell: Cell) -> str:
    """What tells members apart: the attack, its parameters and its budget."""
    row = cell.row()
    return digest({name: row[name] for name in ("attack", "budget")})
