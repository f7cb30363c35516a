"""The leaderboard of a store and its pictures, as files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.files import atomic, slug

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.records import Record
    from reports.rows.row import Row
    from reports.rows.source import Store

EXTENSIONS = {"md": "md", "csv": "csv", "json": "json", "latex": "tex"}


def write(store: Store, out_dir: str | Path, fmt: str = "md") -> list[Path]:
    """Write the leaderboard and all pictures of ``store``.

    Args:
        store: where the records are.
        out_dir: created where absent; each file replaces one of the same name at once.
        fmt: ``md``, ``csv``, ``json`` or ``latex``.

    Returns:
        The files: ``leaderboard.EXT`` first, then ``conditions-….png`` for each scenario and model, ``curve-….png``
        for each row with a curve over guesses, ``budget-….png`` for each lock and attack swept over budgets, and
        ``samples-….png`` for each row's first seed that has sample images.

    Raises:
        UserError: another format, or a place that cannot be written.
    """
    from reports.page import figures
    from reports.rows.aggregate import current, rows
    from reports.rows.budget_surface import surfaces
    from reports.text.captions import grouped
    from reports.text.tables import render

    out = Path(out_dir)
    records = current(store.records())
    table = rows(records, store.evidence)
    text = render(table, fmt)
    files = [atomic(out / f"leaderboard.{EXTENSIONS[fmt]}", lambda file: file.write(text.encode()))]
    for group in grouped(table):
        if group.lock_rows():
            name = f"conditions-{slug(group.scenario)}-{slug(group.model)}.png"
            files.append(figures.conditions_bars(group.rows, out / name))
    for i, surface in enumerate(surfaces(table)):
        place = "-".join(slug(x) for x in (surface.scenario, surface.model, surface.lock, surface.attack))
        files.append(figures.budget_curves(surface, out / f"budget-{place}-{i}.png"))
    for row in table:
        if any(point.get("guesses") for curve in (row.curve or {}).values() for point in curve):
            files.append(figures.guess_curve([row], out / f"curve-{_name(row)}.png"))
        sheet = _first_samples(store, records, row)
        if sheet is not None:
            files.append(figures.sample_sheet(*sheet, out / f"samples-{_name(row)}.png"))
    return files


def _name(row: Row) -> str:
    # Rows that differ in threat model alone share their names, so the row key stands behind.
    return "-".join([*(slug(x) for x in (row.scenario, row.model, row.lock_name, row.attack_name)), row.row_key[:8]])


def _first_samples(store: Store, records: list[Record], row: Row) -> tuple[Record, Mapping[str, NDArray[Any]]] | None:
    if row.status != "ok":
        return None
    for record in (r for r in records if r.row_key == row.row_key and r.status == "ok"):
        evidence = store.evidence(record)
        if any(f"samples/{kind}" in evidence for kind in ("raw", "key", "guess")):
            return record, evidence
    return None
