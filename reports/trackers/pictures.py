"""The pictures of a record for trackers: its samples, and its curve where it may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.errors import UserError
from bench.records import Record
from reports.page import figures
from reports.page.curves import METERS
from reports.rows.row import Row
from reports.rows.source import Evidence


def draw(record: Record, rows: Sequence[Row], evidence: Evidence, folder: Path) -> dict[str, Path]:
    """Draw what there is into ``folder``.

    Args:
        record: whose pictures.
        rows: of the table that the record is in.
        evidence: sample images of a record.

    Returns:
        PNG files by name: ``samples`` and ``curve``, each where there is one.
    """
    made: dict[str, Path] = {}
    with suppress(UserError):  # it has none
        made["samples"] = figures.sample_sheet(record, evidence(record), folder / "samples.png")
    own = [r for r in rows if (r.row_key, r.status) == (record.row_key, record.status) and r.ensemble is None]
    for meter in METERS:
        try:
            made["curve"] = figures.guess_curve(own, folder / "curve.png", meter)
            break
        except UserError:  # it has no curve over this meter, or lacks a control
            continue
    return made
