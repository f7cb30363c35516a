"""What a tracker is given of a record: parameters, metrics and tags. Pure functions; no tracker is imported here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.hashing import digest
from bench.legible import shortened
from bench.plan.wording import in_short
from bench.records import Record
from reports.rows.controls import Controls
from reports.rows.dataframe import DERIVED, MEASURED, columns_of
from reports.rows.source import Evidence

NAMES = ("lock", "key", "attack", "scenario", "model", "editor", "replicate", "selection", "threads", "dtype")
"""Columns that are parameters beside the settings of task, plugins, threat model and budget."""
SETTINGS = ("task", "lock", "key", "attack", "threat", "budget", "seed")
METRICS = (*MEASURED, *DERIVED)
COSTS = ("floor", "seconds", "key_ms_per_image", "key_megabytes", "extra_parameters", "LP_after_batch_norm")
METERS = ("meter", "lock_meter", "seconds")
MARKS = (
    "status",
    "split",
    "row_key",
    "lock_role",
    "attack_role",
    "reason",
    "error",
    "budget_spent",
    "created",
    "command",
)
LONGEST = 500
"""Characters of a parameter or tag: as many as MLflow takes in each of its stores."""


@dataclass(frozen=True)
class Entry:
    """One cell as trackers write it.

    Args:
        record: the record's hash; a tracker never has two runs of one.
        name: the cell in words.
        params: names and values as text.
        metrics: percent, recovery a fraction; what was not measured, or may not be shown, is absent.
        tags: marks of the record, as text.
        ok: whether the cell was measured.
    """

    record: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    ok: bool = True

    @property
    def digest(self) -> str:
        """Changes where a number does: when a control is measured later, the record has its advantage."""
        return digest([dict(self.params), dict(self.metrics)])[:16]


def entry_of(record: Record, controls: Controls, evidence: Evidence) -> Entry:
    """The entry of ``record``.

    A method's record that lacks a control has no RP among its metrics, as in a table; a tag names the control.

    Args:
        controls: of the records of its split.
        evidence: per-image predictions of a record, for the intervals of advantage and recovery.
    """
    columns = columns_of(record, controls, evidence)
    missing = controls.missing([record]) if record.status == "ok" else ()
    metrics = {name: number for name in columns if _is_metric(name) and (number := _number(columns[name])) is not None}
    if missing and "control" not in (record.cell.lock.role, record.cell.attack.role):
        hidden = ("RP", "advantage", "recovery")
        metrics = {name: value for name, value in metrics.items() if name.partition("_")[0] not in hidden}
    params = {
        plain(name): _text(value)
        for name, value in columns.items()
        if name in NAMES or (name.partition(".")[0] in SETTINGS and "." in name)
    }
    tags = {f"lockbench.{name}": _text(columns[name]) for name in MARKS if columns.get(name) not in (None, "")}
    tags["lockbench.record"] = record.hash
    if record.flags:
        tags["lockbench.flags"] = _text(", ".join(flag.name for flag in record.flags))
    if missing:
        tags["lockbench.missing"] = _text(", ".join(lack.control for lack in missing))
    for name, version in record.provenance.versions.items():
        tags[plain(f"lockbench.version.{name}")] = _text(version)
    named = shortened(in_short(record.cell), LONGEST)
    return Entry(record.hash, named, params, {plain(k): v for k, v in metrics.items()}, tags, record.status == "ok")


def plain(name: str) -> str:
    """``name`` as every tracker takes it: letters, digits and ``_ - .`` alone."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:200]


def _is_metric(name: str) -> bool:
    if name in COSTS or name.removesuffix("_low").removesuffix("_high") in METRICS:
        return True
    return "." in name and name.partition(".")[0] in METERS


def _number(value: Any) -> float | None:
    """A finite number; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    return shortened(text, LONGEST)
