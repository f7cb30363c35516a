"""Rows as JSON and CSV: every number with all its digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from reports.rows.aggregate import half_costs
from reports.rows.intervals import IMAGES, Value
from reports.rows.row import ConditionRow, Row
from reports.text.cells import verdict
from reports.text.escaping import as_json as to_json
from reports.text.escaping import csv_cell
from reports.text.formatting import HEADINGS

FIELDS = (
    "scenario", "model", "lock", "key", "attack", "threat", "seeds", "UP", "LP", "UP_shipped", "LP_shipped",
    "RP", "victim_authorised", "oracle", "floor", "public_baseline", "recovery", "advantage", "authorised_after",
    "curve", "meter", "half_recovery", "lock_cost", "conditions", "selection", "transductive", "flags", "status",
    "metric",
)  # fmt: skip
"""Fields of a JSON object, followed by ``intervals``, ``per_seed``, ``row_key``, ``missing`` and ``error``."""

NUMBERS = tuple(name for name in FIELDS if name in HEADINGS)


def as_object(row: Row) -> dict[str, Any]:
    """The JSON object of ``row``; accuracies or mIoU in percent, None where not measured or not to be shown.

    ``intervals`` maps a field to [low, high, kind]; ``field/images`` is the interval over images of these seeds,
    where it is not the headline. ``per_seed`` maps a field, and ``n`` (test images), to one value for each of
    ``seeds``.
    """
    values = {name: row.values[name] for name in NUMBERS}
    intervals: dict[str, list[Any]] = {}
    for name, value in values.items():
        if value is None:
            continue
        if value.kind is not None:
            intervals[name] = [value.low, value.high, value.kind]
        if value.images is not None and value.kind != IMAGES:
            intervals[f"{name}/images"] = [*value.images, IMAGES]
    entries: dict[str, Any] = {
        "scenario": row.scenario,
        "model": row.model,
        "lock": row.lock,
        "key": row.key,
        "attack": row.attack,
        "threat": row.threat,
        "seeds": list(row.seeds),
        **{name: None if value is None else value.mean for name, value in values.items()},
        "curve": None if row.curve is None else [{"seed": s, "points": points} for s, points in row.curve.items()],
        "meter": row.meter,
        "half_recovery": half_costs(row),
        "lock_cost": dict(row.lock_cost),
        "conditions": [_condition(c) for c in row.conditions],
        "selection": row.selection,
        "transductive": row.transductive,
        "flags": row.flags,
        "status": row.status,
        "metric": row.metric,
    }
    ordered = {name: entries[name] for name in FIELDS}
    return ordered | {
        "intervals": intervals,
        "per_seed": {"n": list(row.n)} | {name: list(v.per_seed) for name, v in values.items() if v is not None},
        "row_key": row.row_key,
        "missing": [{"control": lack.control, "command": lack.command} for lack in row.missing],
        "error": row.error,
        "ensemble": None if row.ensemble is None else asdict(row.ensemble),
        "domain": None if row.drops is None else {n: _value(v) for n, v in row.drops.items()},
    }


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    interval = None if value.kind is None else [value.low, value.high, value.kind]
    return {"mean": value.mean, "interval": interval, "per_seed": list(value.per_seed)}


def _condition(c: ConditionRow) -> dict[str, Any]:
    return {
        "name": c.name,
        "what": c.applied,
        "accuracy": c.accuracy.mean,
        "shipped": None if c.shipped is None else c.shipped.mean,
        "interval": None if c.accuracy.kind is None else [c.accuracy.low, c.accuracy.high, c.accuracy.kind],
        "per_seed": list(c.accuracy.per_seed),
    }


def as_json(rows: Sequence[Row]) -> str:
    """A JSON list with one object for each row."""
    return to_json([as_object(row) for row in rows], indent=2) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row: numbers with ``_low``, ``_high``, ``_kind``; lists and mappings as JSON in one cell.

    Text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    header = []
    for name in FIELDS:
        header += [name, f"{name}_low", f"{name}_high", f"{name}_kind"] if name in NUMBERS else [name]
    out = io.StringIO()
    writer = csv.DictWriter(out, [*header, "n", "verdict", "row_key", "missing", "error"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        entries = as_object(row)
        line = {name: entries[name] for name in (*FIELDS, "row_key", "missing", "error")}
        for name, (low, high, kind) in entries["intervals"].items():
            if name in NUMBERS:
                line |= {f"{name}_low": low, f"{name}_high": high, f"{name}_kind": kind}
        line |= {"n": entries["per_seed"]["n"], "verdict": verdict(row)}
        cells = {k: to_json(v) if isinstance(v, list | dict | bool) else v for k, v in line.items()}
        writer.writerow({name: csv_cell(cell) for name, cell in cells.items()})
    return out.getvalue()
