"""Rows in any of the formats that files have; the terminal's leaderboard is in `reports.text.terminal`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.errors import UserError
from reports.rows.row import Row
from reports.text.data import as_csv, as_json, as_object
from reports.text.latex import as_latex
from reports.text.markdown import as_md

__all__ = ["FORMATS", "as_object", "render"]

FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "md": as_md, "csv": as_csv, "json": as_json, "latex": as_latex,
}  # fmt: skip


def render(rows: Sequence[Row], fmt: str) -> str:
    """``rows`` as text.

    Args:
        rows: as `reports.rows.aggregate.rows` gives them.
        fmt: ``md``, ``csv``, ``json`` or ``latex``.

    Raises:
        UserError: another format.
    """
    if fmt not in FORMATS:
        raise UserError(f"there is no report format '{fmt}'.", f"Choose one of {', '.join(FORMATS)}.")
    return FORMATS[fmt](rows)
