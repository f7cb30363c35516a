"""Records to rows: replicates joined on the row key, controls joined on, and the rules on what may be shown.

Accuracies are percent, recovery is a fraction; what was not measured, or may not be shown, is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import THIRD_PARTY, Cell, CurvePoint, Measured, Record
from reports.rows import domain, ensemble
from reports.rows.controls import BASELINE, Controls, Missing, label, role_of, scenario_of
from reports.rows.intervals import Draws, Value, constant, of_derived, of_measured
from reports.rows.worst import worst

Evidence = Callable[[Record], Mapping[str, NDArray[Any]]]

MEASURED = ("UP", "LP", "UP_shipped", "LP_shipped", "RP", "victim_authorised", "oracle", "authorised_after")
DERIVED = ("floor", "public_baseline", "recovery", "advantage")
VALUES = (*MEASURED, *DERIVED)

MARGIN = 5.0
"""Points by which the lower bound of the advantage must exceed 0 before a lock is called broken."""
HEADROOM = 10.0
"""Points between b and the oracle under which recovery is not defined."""


@dataclass(frozen=True)
class ConditionRow:
    """The locked model under one key condition: its name, what was applied (by seed where it differs), accuracies."""

    name: str
    what: str
    accuracy: Value
    shipped: Value | None
    n: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of a table: the replicates of one row key that share a status.

    ``values`` has every name of `VALUES`, None where not measured or not to be shown. ``role`` is method, control or
    given. ``threat`` holds the threat model's fields and ``budget``, its limits. ``n`` counts test images for each
    seed. ``curve`` has, for each seed, the judged submissions: meter readings with ``RP`` and ``validation``.
    ``drops`` has what `reports.rows.domain` derives, for a lock on two domains without an attack; ``ensemble`` what
    stands behind the row of an ensemble; ``attack_set`` the attack's parameters that were set explicitly. ``lock_cost`` has
    what the lock costs by name, means over seeds, None where not known.
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
    ensemble: ensemble.Told | None = None
    attack_set: Mapping[str, Any] = field(default_factory=dict)
    lock_cost: Mapping[str, float | None] = field(default_factory=dict)

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
    def broken(self) -> bool | None:
        """RP > LP and the advantage's lower bound above `MARGIN`; None without an interval or for a control."""
        advantage, rp, lp = (self.values[name] for name in ("advantage", "RP", "LP"))
        if self.role == "control" or advantage is None or advantage.low is None or rp is None or lp is None:
            return None
        return rp.mean > lp.mean and advantage.low > MARGIN

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
        if self.broken is None or advantage is None or advantage.high is None or rp is None or lp is None:
            return "undecided"
        straddles = advantage.high > MARGIN and rp.mean > lp.mean
        return "undecided" if straddles else "not broken by this attack"


def rows(records: Iterable[Record], evidence: Evidence | None = None) -> list[Row]:
    """The rows of a table, one for each row key and status, in the order of `order`.

    Of several records of one cell and replicate the newest counts. Records of tuning seeds are left out: they are no
    results, and must not be averaged with them (`reports.rows.trials` shows them).

    Args:
        records: any order.
        evidence: per-image predictions of a record, for paired bootstraps; without it some intervals are absent.
    """
    pool = current(records)
    controls = Controls(pool)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in pool:
        groups.setdefault((record.row_key, record.status), []).append(record)
    worst_members: dict[str, list[tuple[Record, ensemble.Told]]] = {}
    for record, told in ensemble.worst_cases(pool):
        worst_members.setdefault(record.row_key, []).append((record, told))
    table = [_row(group, controls, evidence) for group in groups.values()]
    for pairs in worst_members.values():
        row = _row([record for record, _ in pairs], controls, evidence)
        table.append(replace(row, ensemble=pairs[0][1], curve=None))
    return order(table)


def current(records: Iterable[Record], split: str = "test") -> list[Record]:
    """Of each cell and replicate, judged on ``split``, the record made or asked for last; ours before others'."""
    newest: dict[tuple[str, int], Record] = {}

    def place(r: Record) -> tuple[Any, ...]:
        return THIRD_PARTY not in r.notes, r.last, r.status == "ok", r.hash

    for record in sorted(records, key=place):
        if record.split == split:
            newest[record.row_key, record.cell.replicate] = record
    return sorted(newest.values(), key=lambda r: r.cell.replicate)


def names_of(cell: Cell) -> dict[str, Any]:
    """What a row tells of its cell."""
    editor = {} if cell.editor == "miniature" else {"editor": cell.editor}
    return {
        "scenario": scenario_of(cell),
        "model": cell.model,
        "lock": label(cell.lock),
        "key": label(cell.key, **editor),
        "attack": label(cell.attack),
        "lock_name": cell.lock.name,
        "attack_name": cell.attack.name,
        "role": role_of(cell),
        "threat": {**cell.threat, "budget": {k: v for k, v in cell.budget.items() if v is not None}},
        "attack_set": cell.attack.explicit,
    }


def order(table: Iterable[Row]) -> list[Row]:
    """Rows by scenario and model; methods before controls; the lock whose worst advantage is least first.

    Within a lock the strongest attack comes first; rows that lack an advantage are unranked and come last.
    """
    listed = list(table)
    pools: dict[tuple[str, ...], list[Row]] = {}
    for row in listed:
        if row.role != "control":
            pools.setdefault(row.place, []).append(row)
    stands = {held: worst(pool) for held, pool in pools.items()}
    least = {held: row.mean("advantage") for held, row in stands.items() if row is not None}

    def place(row: Row) -> tuple[Any, ...]:
        advantage = row.mean("advantage")
        lock = least.get(row.place, np.inf)
        ranked = () if row.role == "control" else (lock, row.lock, row.key, np.inf if advantage is None else -advantage)
        return row.scenario, row.model, row.role == "control", *ranked, row.lock, row.attack, row.row_key, row.status

    return sorted(listed, key=place)


def half_recovery(
    curve: Sequence[CurvePoint | Mapping[str, Any]], LP: float, oracle: float, meter_field: str = "guesses"
) -> float | None:
    """The smallest meter reading at which half of the lost performance is back: RP >= LP + (oracle - LP) / 2.

    Args:
        curve: judged submissions, as in a record, or as dictionaries with the meter's fields and ``RP``.
        LP, oracle: percent.
        meter_field: which reading counts, e.g. ``guesses`` or ``edited``.

    Returns:
        None where it never comes back, where nothing was lost, or where the meter was not read.
    """
    if oracle <= LP:
        return None
    half = LP + (oracle - LP) / 2
    reached = [x for x, rp in readings(curve, meter_field) if rp >= half]
    return min(reached, default=None)


METERS = ("guesses", "edited", "queries", "steps")


def half_costs(row: Row) -> dict[str, list[float | None]] | None:
    """By meter, for each seed the reading at which half of the loss was back, None where it never was.

    Meters that no submission of the row moved are left out; None without a curve, LP or oracle.
    """
    if row.curve is None or row.values["LP"] is None or row.values["oracle"] is None:
        return None
    found: dict[str, list[float | None]] = {}
    for meter in METERS:
        if not any(point.get(meter) for points in row.curve.values() for point in points):
            continue
        found[meter] = []
        for seed in row.seeds:
            lp, oracle = row.of_seed("LP", seed), row.of_seed("oracle", seed)
            curve = row.curve.get(seed, [])
            found[meter].append(None if lp is None or oracle is None else half_recovery(curve, lp, oracle, meter))
    return found


def readings(curve: Sequence[CurvePoint | Mapping[str, Any]], meter_field: str) -> list[tuple[float, float]]:
    """(meter reading, RP) of every submission that has both, by reading."""
    points: list[tuple[float, float]] = []
    for point in curve:
        meter, rp = (point.meter, point.RP) if isinstance(point, CurvePoint) else (point, point.get("RP"))
        x = meter.get(meter_field)
        if x is not None and rp is not None:
            points.append((float(x), float(rp)))
    return sorted(points)


def _row(group: Sequence[Record], controls: Controls, evidence: Evidence | None) -> Row:
    first = group[0]
    cell = first.cell
    ok = first.status == "ok"
    missing = controls.missing(group) if ok else ()
    # A calibration lock is read by its recovery, which needs no public baseline; it makes no claim and has no rank.
    shown = ok and (not missing or role_of(cell) == "control") and cell.attack.name != "none"
    values: dict[str, Value | None] = {name: of_measured([getattr(r, name) for r in group]) for name in MEASURED}
    values |= dict.fromkeys(DERIVED)
    values["floor"] = constant([r.floor for r in group])
    baselines = [controls.baseline(r) for r in group]
    if all(b is not None for b in baselines):
        values["public_baseline"] = of_measured([b.RP if b else None for b in baselines], [r.floor for r in group])
    if shown:
        values |= _derived(group, baselines, evidence)
    else:
        values["RP"] = None
    flags: dict[str, list[str]] = {}
    for record in group:
        for name, detail in {flag.name: flag.detail for flag in record.flags}.items():
            flags.setdefault(name, []).append(detail)
    selections = [r.selection or r.cell.attack.selection for r in group]
    errors = [f"seed {r.cell.replicate}: {r.error or 'no reason was recorded'}" for r in group if r.status != "ok"]
    return Row(
        **names_of(cell),
        row_key=first.row_key,
        seeds=tuple(r.cell.replicate for r in group),
        n=tuple(_images(r) for r in group),
        status=first.status,
        values=values,
        curve=_curves(group) if shown else None,
        meter=_meter([r.meter for r in group]),
        conditions=_conditions(group),
        selection=" / ".join(dict.fromkeys(s for s in selections if s)) or None,
        transductive=any(r.transductive for r in group),
        flags={name: len(details) for name, details in flags.items()},
        flag_details={name: details[0] for name, details in flags.items()},
        missing=missing,
        error="; ".join(errors) or None,
        drops=domain.drops(group, evidence),
        lock_cost=_lock_cost(group),
    )


def _derived(group: Sequence[Record], baselines: Sequence[Record | None], evidence: Evidence | None) -> dict[str, Any]:
    """Recovery and advantage of a row that has its controls."""
    recovery: list[float | None] = []
    advantage: list[float | None] = []
    measured: list[dict[str, Measured]] = []
    for record, baseline in zip(group, baselines, strict=True):
        public = None if baseline is None else baseline.RP
        named = {"RP": record.RP, "LP": record.LP, "oracle": record.oracle, "baseline": public}
        known = {name: m for name, m in named.items() if m is not None}
        measured.append(known)
        point = {name: np.array([m.value]) for name, m in known.items()}
        floor = record.floor if record.floor is not None else 0.0
        # Decimal percentages differ by rounding error; a gap of exactly 10 points counts.
        enough = {"RP", "LP", "oracle"} <= set(known) and _headroom(point, floor)[0] >= HEADROOM - 1e-9
        recovery.append(float(_recovery(point, floor)[0]) if enough else None)
        measurable = {"RP", "baseline"} <= set(known) and record.floor is not None
        advantage.append(float(_advantage(point, floor)[0]) if measurable else None)
    # Test splits are the same for every seed, and so are their floors.
    floor = max((r.floor for r in group if r.floor is not None), default=0.0)
    correct = [_correct(r, b, evidence) if evidence else None for r, b in zip(group, baselines, strict=True)]

    def paired(*names: str) -> tuple[list[dict[str, Measured]], list[dict[str, NDArray[np.bool_]] | None]]:
        chosen = [{n: m[n] for n in names if n in m} for m in measured]
        right = [c and {n: c[n] for n in names} if c and set(names) <= set(c) else None for c in correct]
        return chosen, right

    # The baseline of a baseline is itself: its advantage would be 0 by definition, which is no measurement.
    own = group[0].cell.attack.name == BASELINE
    return {
        "recovery": of_derived(recovery, lambda x: _recovery(x, floor), *paired("RP", "LP", "oracle")),
        "advantage": None if own else of_derived(advantage, lambda x: _advantage(x, floor), *paired("RP", "baseline")),
    }


def _headroom(x: Mapping[str, Draws], floor: float) -> Draws:
    return x["oracle"] - np.maximum(x["LP"], floor)


def _recovery(x: Mapping[str, Draws], floor: float) -> Draws:
    gap = _headroom(x, floor)
    return np.where(gap > 0, (x["RP"] - np.maximum(x["LP"], floor)) / np.where(gap > 0, gap, 1.0), np.nan)


def _advantage(x: Mapping[str, Draws], floor: float) -> Draws:
    return x["RP"] - np.maximum(x["baseline"], floor)


def _correct(record: Record, baseline: Record | None, evidence: Evidence) -> dict[str, NDArray[np.bool_]] | None:
    """Whether each test image was right, (n,) by name, in the order of the test index."""
    found = _right(record, evidence(record), {"RP": record.RP, "LP": record.LP, "oracle": record.oracle})
    if found is None:
        return None
    index, right = found
    if baseline is not None:
        other = _right(baseline, evidence(baseline), {"RP": baseline.RP})
        if other is not None and "RP" in other[1] and np.array_equal(other[0], index):
            right["baseline"] = other[1]["RP"]
    return right


def _right(
    record: Record, arrays: Mapping[str, NDArray[Any]], measured: Mapping[str, Measured | None]
) -> tuple[NDArray[Any], dict[str, NDArray[np.bool_]]] | None:
    if "test_labels" not in arrays or "test_index" not in arrays:
        return None
    order = np.argsort(arrays["test_index"], kind="stable")
    right: dict[str, NDArray[np.bool_]] = {}
    for name, m in measured.items():
        predicted = arrays.get(f"pred/{name}")
        if m is None or predicted is None or predicted.shape != arrays["test_labels"].shape:
            continue
        hits = (predicted == arrays["test_labels"])[order]
        # Evidence speaks for a number only where it reproduces it.
        if hits.ndim == 1 and abs(100.0 * hits.mean() - m.value) < 0.05:
            right[name] = hits
    return arrays["test_index"][order], right


def _images(record: Record) -> int | None:
    return next((m.n for m in (record.RP, record.LP, record.UP, record.oracle) if m is not None), None)


def _curves(group: Sequence[Record]) -> dict[int, list[dict[str, Any]]] | None:
    curves = {
        r.cell.replicate: [{**p.meter, "RP": p.RP, "validation": p.validation, "note": p.note} for p in r.curve]
        for r in group
        if r.curve
    }
    return curves or None


def _meter(meters: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Mean readings; a reading that one seed lacks is null, since what is unknown must not count as 0."""
    if any(m is None for m in meters):
        return None
    known = [m for m in meters if m is not None]
    names = dict.fromkeys(name for m in known for name in m)
    means: dict[str, Any] = {}
    for name in names:
        read = [m.get(name) for m in known]
        means[name] = None if any(not isinstance(x, int | float) for x in read) else float(np.mean(read))  # type: ignore[arg-type]
    return means


def _lock_cost(group: Sequence[Record]) -> dict[str, float | None]:
    made = [record.lock_meter or {} for record in group]
    found = {
        "seconds": [m.get("seconds") for m in made],
        "steps": [m.get("steps") for m in made],
        "extra_parameters": [record.extra_parameters for record in group],
        "key_ms_per_image": [record.key_ms_per_image for record in group],
        "key_megabytes": [record.key_megabytes for record in group],
    }
    return {
        name: None if any(v is None for v in values) else float(np.mean([v for v in values if v is not None]))
        for name, values in found.items()
    }


def _conditions(group: Sequence[Record]) -> tuple[ConditionRow, ...]:
    by_seed = [{c.name: c for c in record.conditions} for record in group]
    made = []
    for name in dict.fromkeys(name for conditions in by_seed for name in conditions):
        found = [conditions.get(name) for conditions in by_seed]
        accuracy = of_measured([None if c is None else c.accuracy for c in found])
        if accuracy is not None:
            what = " / ".join(dict.fromkeys(c.what for c in found if c is not None))
            n = min(c.accuracy.n for c in found if c is not None)
            made.append(ConditionRow(name, what, accuracy, constant([c.shipped if c else None for c in found]), n))
    return tuple(made)
