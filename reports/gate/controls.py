"""Controls of a candidate that fail their condition, as findings of a gate: with one of them, no number is trusted."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bench.legible import visible
from bench.records import Record
from reports.gate.certain import Certain
from reports.gate.lines import TOLERANCE
from reports.rows import aggregate, calibration
from reports.rows.source import Evidence


def failed(records: Sequence[Record], evidence: Evidence, wanted: Collection[str]) -> list[Certain]:
    """The controls among the rows ``wanted`` that fail by more than noise and more than the tolerance of RP.

    The tolerance keeps the gate's rate: an interval at 95 % alone would alarm once in forty.

    Args:
        records: of the candidate; public baselines may be among them that are not ``wanted``.
        evidence: per-image predictions of a record.
        wanted: row keys.
    """
    rows = [row for row in aggregate.rows(records, evidence) if row.row_key in wanted]
    return [
        Certain(
            visible(f"{finding.row.scenario} · {finding.row.model} · {finding.row.lock} × {finding.row.attack}"),
            f"control {visible(finding.control)} failed: {finding.what}: {finding.meaning}",
            "Find out why before any number beside it is believed (docs/how-to/ci.md#controls).",
        )
        for finding in calibration.failed(rows)
        if finding.points > TOLERANCE["RP"]
    ]
