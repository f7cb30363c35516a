"""The pictures that are written to files: key conditions, RP against what was spent or may be spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import UserError
from bench.records import Record
from reports.page import charts, curves, draw_png
from reports.rows.aggregate import rows as to_rows
from reports.rows.budget_surface import Surface
from reports.rows.row import Row
from reports.text.formatting import EMPTY
from reports.text.groups import grouped


def conditions_bars(rows: Sequence[Row], path: str | Path) -> Path:
    """The locked model's accuracy under each key condition, with 95 % intervals; a chart for each lock and key.

    Args:
        rows: those without key conditions are left out.
        path: the PNG to write.

    Raises:
        UserError: no row has key conditions.
    """
    panels = [chart for group in grouped(rows) for chart in charts.conditions(group, controls=True)]
    if not panels:
        raise UserError("There are no key conditions to draw.", EMPTY)
    return draw_png.write(panels, path)


def guess_curve(rows_or_records: Sequence[Row] | Sequence[Record], path: str | Path, meter: str = "guesses") -> Path:
    """RP of what an attack had handed in last against what it had spent: a faint line a seed, and their mean.

    Args:
        rows_or_records: one chart for each row that has a curve. Records become rows first, so the controls of
            their rows must be among them.
        path: the PNG to write.
        meter: the meter's field on the horizontal axis.

    Raises:
        UserError: no curve may be shown: none was recorded, or a control is missing.
    """
    records = [r for r in rows_or_records if isinstance(r, Record)]
    rows = to_rows(records) if records else [r for r in rows_or_records if isinstance(r, Row)]
    spent = [row for row in rows if curves.spent(row, meter)]
    if not spent:
        lacks = next((lack for row in rows for lack in row.missing), None)
        remedy = f"A control is missing ({lacks.control}): {lacks.command}" if lacks else EMPTY
        raise UserError(f"There is no curve over {meter} to draw.", remedy)
    return draw_png.write([curves.of_row(row, meter) for row in spent], path)


def budget_curves(surface: Surface, path: str | Path) -> Path:
    """RP against a budget, a line for each value of the others, with the public baseline of the same data.

    Args:
        surface: rows that differ in what the attacker may spend.
        path: the PNG to write.
    """
    return draw_png.write([curves.budget(surface)], path)
