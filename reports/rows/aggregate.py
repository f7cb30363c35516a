"""Records to rows: replicates joined on the row key, with their controls, and the rules on what may be shown.

Accuracies are percent, recovery is a fraction. What was not measured, or may not be shown, is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.legible import shortened
from bench.plan import ensemble as lists
from bench.plan.wording import key_label, label, name_text, scenario_label
from bench.records import Cell, CurvePoint, Record
from reports.rows import domain, ensemble, mixture
from reports.rows.controls import Controls, Missing, expected_flags, role_of
from reports.rows.intervals import Value, constant, of_measured
from reports.rows.real import finite, real
from reports.rows.reasons import GUESTS, reason_of
from reports.rows.recovery import derived
from reports.rows.rerun import command_of
from reports.rows.row import DERIVED, MEASURED, ConditionRow, EnsembleCase, Row
from reports.rows.source import Evidence
from reports.rows.worst import worst

LONGEST_ERROR, LONGEST_NOTE, LONGEST_NAME = 4000, 1000, 60
"""Characters after which an error, a note or a meter's name is cut."""
MOST_METERS = 50


def rows(
    records: Iterable[Record],
    evidence: Evidence | None = None,
    withhold: bool = True,
    listed: str = lists.CURRENT,
) -> list[Row]:
    """The rows of a table, one for each row key and status, in the order of `order`.

    Of several records of one cell and replicate the newest counts.

    Args:
        records: any order.
        evidence: per-image predictions of a record, for paired bootstraps; without it some intervals are absent.
        withhold: whether a row that lacks a control shows no RP; a run that is not over yet shows what it has.
        listed: the ensemble whose worst cases are rows, by name.

    Raises:
        UserError: no such ensemble.
    """
    pool = current(records)
    controls = Controls(pool)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in pool:
        groups.setdefault((record.row_key, record.status), []).append(record)
    worst_members: dict[str, list[tuple[Record, EnsembleCase]]] = {}
    for record, case in ensemble.worst_cases(pool, listed):
        worst_members.setdefault(record.row_key, []).append((record, case))
    seeds: dict[str, dict[str, tuple[int, ...]]] = {}
    for (row_key, status), group in groups.items():
        seeds.setdefault(row_key, {})[status] = tuple(r.cell.replicate for r in group)
    table = [
        replace(
            _row(group, controls, evidence, withhold),
            others={s: own for s, own in seeds[row_key].items() if s != status},
        )
        for (row_key, status), group in groups.items()
    ]
    for pairs in worst_members.values():
        row = _row([record for record, _ in pairs], controls, evidence)
        table.append(replace(row, ensemble=pairs[0][1], curve=None))
    return order(table)


def current(records: Iterable[Record], split: str = "test") -> list[Record]:
    """Of each cell and replicate, judged on ``split``, the record created or needed last; ours first."""
    newest: dict[tuple[str, int], Record] = {}

    def place(r: Record) -> tuple[Any, ...]:
        return r.third_party is None, r.last, r.status == "ok", r.hash

    for record in sorted(records, key=place):
        if record.split == split:
            newest[record.row_key, record.cell.replicate] = record
    return sorted(newest.values(), key=lambda r: r.cell.replicate)


def names_of(cell: Cell) -> dict[str, Any]:
    """The fields of a row that come from its cell."""
    return {
        "scenario": scenario_label(cell),
        "model": name_text(cell.model_name),
        "lock": label(cell.lock),
        "key": key_label(cell),
        "attack": label(cell.attack),
        "task": cell.scenario,
        "architecture": cell.model,
        "lock_name": cell.lock.name,
        "attack_name": cell.attack.name,
        "role": role_of(cell),
        "lock_purpose": cell.lock.purpose,
        "attack_purpose": cell.attack.purpose,
        "threat": rights_of(cell),
        "attack_set": cell.attack.explicit,
    }


def rights_of(cell: Cell) -> dict[str, Any]:
    """The fields of the threat model, and ``budget`` with the limits that are set."""
    return {**cell.threat.values(), "budget": {k: v for k, v in cell.budget.values().items() if v is not None}}


def order(table: Iterable[Row]) -> list[Row]:
    """Rows by scenario and model; methods before controls; first the lock with the least worst-case advantage.

    Within a lock the strongest attack comes first. Rows without an advantage have no rank and come last.
    """
    listed = list(table)
    pools: dict[tuple[str, ...], list[Row]] = {}
    for row in listed:
        if row.role != "control":
            pools.setdefault(row.place, []).append(row)
    stands = {spot: worst(pool) for spot, pool in pools.items()}
    least = {spot: row.mean("advantage") for spot, row in stands.items() if row is not None}

    def place(row: Row) -> tuple[Any, ...]:
        advantage = row.mean("advantage")
        lock = least.get(row.place, np.inf)
        ranked = () if row.role == "control" else (lock, row.lock, row.key, np.inf if advantage is None else -advantage)
        return row.scenario, row.model, row.role == "control", *ranked, row.lock, row.attack, row.row_key, row.status

    return sorted(listed, key=place)


def half_recovery(
    curve: Sequence[CurvePoint | Mapping[str, Any]], lp: float, oracle: float, meter_field: str = "guesses"
) -> float | None:
    """The smallest meter reading at which half of the lost performance is back: RP >= LP + (oracle - LP) / 2.

    Args:
        curve: judged submissions, as in a record, or as dictionaries with the meter's fields and ``RP``.
        lp, oracle: percent.
        meter_field: which reading counts, e.g. ``guesses`` or ``edited``.

    Returns:
        None where it never comes back, where nothing was lost, or where the meter was not read.
    """
    if oracle <= lp:
        return None
    half = lp + (oracle - lp) / 2
    reached = [x for x, rp in readings(curve, meter_field) if rp >= half]
    return min(reached, default=None)


METERS = ("guesses", "edited", "queries", "steps")
"""Readings by which a half-recovery cost is given."""


def half_costs(row: Row) -> dict[str, list[float | None]] | None:
    """By meter, one reading a seed at which half of the loss was back; None for a seed where it never was.

    Meters that no submission moved are left out. None where a seed has no curve, and without LP or oracle.
    """
    if (
        row.curve is None
        or not set(row.seeds) <= row.curve.keys()
        or row.values["LP"] is None
        or row.values["oracle"] is None
    ):
        return None
    costs: dict[str, list[float | None]] = {}
    for meter in METERS:
        if not any(point.get(meter) for points in row.curve.values() for point in points):
            continue
        costs[meter] = []
        for seed in row.seeds:
            lp, oracle = row.of_seed("LP", seed), row.of_seed("oracle", seed)
            curve = row.curve.get(seed, [])
            costs[meter].append(None if lp is None or oracle is None else half_recovery(curve, lp, oracle, meter))
    return costs


def readings(curve: Sequence[CurvePoint | Mapping[str, Any]], meter_field: str) -> list[tuple[float, float]]:
    """(meter reading, RP) of every submission that has both, by reading."""
    points: list[tuple[float, float]] = []
    for point in curve:
        meter, rp = (point.meter, point.RP) if isinstance(point, CurvePoint) else (point, point.get("RP"))
        x, y = real(meter.get(meter_field)), real(rp)
        if x is not None and y is not None:
            points.append((x, y))
    return sorted(points)


def _row(group: Sequence[Record], controls: Controls, evidence: Evidence | None, withhold: bool = True) -> Row:
    first = group[0]
    cell = first.cell
    ok = first.status == "ok"
    missing = controls.missing(group) if ok else ()
    if ok and evidence is not None and len(group) > 1 and not _is_one_test_set(group, evidence):
        source = first.provenance
        command = command_of(cell, [r.cell.replicate for r in group], source.threads, source.dtype)
        missing = (*missing, Missing("one test set for all seeds", command))
    # A calibration lock is read by its recovery, which needs no public baseline; it makes no claim and has no rank.
    whole = not missing or role_of(cell) == "control" or not withhold
    visible = ok and whole and cell.attack.purpose != "no-attack"
    values: dict[str, Value | None] = {name: of_measured([getattr(r, name) for r in group]) for name in MEASURED}
    values |= dict.fromkeys(DERIVED)
    if first.status == "invalid":  # what a guest answered with is no number: nothing of it may read as a result
        values |= {name: None for name in MEASURED if name in GUESTS}
    values["floor"] = constant([r.floor for r in group])
    public = [controls.baseline(r) for r in group]
    if all(b is not None for b in public):
        values["public_baseline"] = of_measured([b.RP if b else None for b in public], [r.floor for r in group])
    if visible:
        values |= derived(group, public, evidence)
    else:
        values["RP"] = None
    flags: dict[str, list[str]] = {}
    expected = expected_flags(cell.lock.purpose)
    for record in group:
        for name, detail in {flag.name: flag.detail for flag in record.flags if flag.name not in expected}.items():
            flags.setdefault(name, []).append(detail)
    if differing := mixture.others(group):
        flags[mixture.MIXED] = differing
    selections = [r.selection.words for r in group if r.selection is not None]
    errors = [f"seed {r.cell.replicate}: {r.error or 'no reason was recorded'}" for r in group if r.status != "ok"]
    return Row(
        **names_of(cell),
        row_key=first.row_key,
        seeds=tuple(r.cell.replicate for r in group),
        n=tuple(_images(r) for r in group),
        status=first.status,
        values=values,
        curve=_curves(group) if visible else None,
        meter=_meter([r.meter for r in group]),
        conditions=() if first.status == "invalid" else _conditions(group),
        selection=" / ".join(dict.fromkeys(selections)) or None,
        transductive=any(r.transductive for r in group),
        flags={name: len(details) for name, details in flags.items()},
        flag_details={name: details[0] for name, details in flags.items()},
        missing=missing,
        error=shortened("; ".join(errors), LONGEST_ERROR) or None,
        reason=" / ".join(dict.fromkeys(reason_of(r) for r in group if r.status == "invalid")),
        drops=domain.drops(group, evidence),
        metric=first.metric,
        lock_cost=_lock_cost(group),
    )


def _is_one_test_set(group: Sequence[Record], evidence: Evidence) -> bool:
    """Whether all seeds were judged on the same images, as far as they say: a folder may have changed between them."""
    seen: dict[str, bytes] = {}
    for record in group:
        arrays = evidence(record)
        for name in ("test_index", "test_labels", "authorised_index", "authorised_labels"):
            if name in arrays:
                content = np.ascontiguousarray(arrays[name]).astype("<i8").tobytes()
                if seen.setdefault(name, content) != content:
                    return False
    return True


def _note(note: Mapping[str, Any]) -> Any:
    """What an attack noted of a submission; where it is huge, its start as text."""
    text = json.dumps(note, default=str, ensure_ascii=False)
    return note if len(text) <= LONGEST_NOTE else {"cut": shortened(text, LONGEST_NOTE)}


def _images(record: Record) -> int | None:
    return next((m.n for m in (record.RP, record.LP, record.UP, record.oracle) if m is not None), None)


def _curves(group: Sequence[Record]) -> dict[int, list[dict[str, Any]]] | None:
    curves = {
        r.cell.replicate: [
            {**_readings(p.meter), "RP": p.RP, "validation": p.validation, "note": _note(p.note)}
            for p in r.curve
            if real(p.RP) is not None
        ]
        for r in group
        if r.curve
    }
    return curves or None


def _meter(meters: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Mean readings; null where a seed lacks one, since what is unknown must not count as 0."""
    if any(m is None for m in meters):
        return None
    known = [m for m in meters if m is not None]
    means: dict[str, Any] = {}
    for name in list(dict.fromkeys(name for m in known for name in m))[:MOST_METERS]:
        values = [x for m in known if (x := real(m.get(name))) is not None]
        means[shortened(name, LONGEST_NAME)] = float(np.mean(values)) if len(values) == len(known) else None
    return means


def _readings(meter: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of a meter; anything else that stands there is no reading."""
    return {shortened(name, LONGEST_NAME): finite(x) for name, x in list(meter.items())[:MOST_METERS]}


def _lock_cost(group: Sequence[Record]) -> dict[str, float | None]:
    meters = [record.lock_meter or {} for record in group]
    costs = {
        "seconds": [m.get("seconds") for m in meters],
        "steps": [m.get("steps") for m in meters],
        "extra_parameters": [record.extra_parameters for record in group],
        "key_ms_per_image": [record.key_ms_per_image for record in group],
        "key_megabytes": [record.key_megabytes for record in group],
    }
    return {
        name: None if any(v is None for v in values) else float(np.mean([v for v in values if v is not None]))
        for name, values in ((name, [real(v) for v in values]) for name, values in costs.items())
    }


def _conditions(group: Sequence[Record]) -> tuple[ConditionRow, ...]:
    by_seed = [{(c.kind, c.label): c for c in record.conditions} for record in group]
    out = []
    for kind, name in dict.fromkeys(at for conditions in by_seed for at in conditions):
        matches = [conditions.get((kind, name)) for conditions in by_seed]
        accuracy = of_measured([None if c is None else c.accuracy for c in matches])
        if accuracy is not None:
            what = " / ".join(dict.fromkeys(c.what for c in matches if c is not None))
            n = min(c.accuracy.n for c in matches if c is not None)
            shipped = constant([c.shipped if c else None for c in matches])
            out.append(ConditionRow(kind, name, what, accuracy, shipped, n))
    return tuple(out)
