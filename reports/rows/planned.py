"""The rows of a suite: those that a store has, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.records import Cell, Record
from bench.seeds import is_tuning
from reports.rows.aggregate import current, names_of, order
from reports.rows.row import VALUES, Row


def of_suite(table: Sequence[Row], planned: Sequence[Cell], records: Iterable[Record]) -> list[Row]:
    """The rows of ``planned`` cells: those of ``table``, and rows "not measured" for what is lacking.

    Rows of an ensemble stand with the planned locks.

    Args:
        table: the rows of ``records``.
        planned: cells of a suite.
        records: of the store.
    """
    keys = {cell.row_key() for cell in planned}
    own = [row for row in table if row.row_key in keys] + unmeasured(planned, current(records))
    places = {row.place for row in own}
    return order([*own, *(row for row in table if row.ensemble is not None and row.place in places)])


def unmeasured(planned: Iterable[Cell], records: Iterable[Record]) -> list[Row]:
    """A row for each row key of which ``planned`` has replicates that ``records`` lack, with those as its seeds."""
    measured = {(record.row_key, record.cell.replicate) for record in records}
    planned = [cell for cell in planned if not is_tuning(cell.replicate)]  # a report of reporting seeds lacks none
    lacking: dict[str, list[Cell]] = {}
    for cell in planned:
        if (cell.row_key(), cell.replicate) not in measured:
            lacking.setdefault(cell.row_key(), []).append(cell)
    return [_unmeasured(row_key, cells) for row_key, cells in lacking.items()]


def _unmeasured(row_key: str, cells: Sequence[Cell]) -> Row:
    rule = cells[0].attack.selection
    return Row(
        **names_of(cells[0]),
        row_key=row_key,
        seeds=tuple(sorted(c.replicate for c in cells)),
        n=(),
        status="not measured",
        values=dict.fromkeys(VALUES),
        selection=None if rule is None else rule.words,
    )
