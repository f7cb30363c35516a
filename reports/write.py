"""The leaderboard of a store and its pictures, as files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.files import LONGEST, atomic, name_of, slug

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.records import Record
    from reports.rows.row import Row
    from reports.rows.source import Store

EXTENSIONS = {"md": "md", "csv": "csv", "json": "json", "latex": "tex"}


def write(
    store: Store, out_dir: str | Path, fmt: str = "md", keep: Callable[[Sequence[Row]], list[Row]] | None = None
) -> list[Path]:
    """Write the leaderboard and all pictures of ``store``.

    Args:
        store: where the records are.
        out_dir: created where absent; each file replaces one of the same name at once.
        fmt: ``md``, ``csv``, ``json`` or ``latex``.
        keep: chooses among the rows, as `reports.rows.filters.Filters.narrow` does.

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
    table = table if keep is None else keep(table)
    text = render(table, fmt)
    files = [atomic(out / f"leaderboard.{EXTENSIONS[fmt]}", lambda file: file.write(text.encode()))]
    for group in grouped(table):
        if group.lock_rows():
            name = name_of("conditions", group.scenario, group.model, ending=".png")
            files.append(figures.conditions_bars(group.rows, out / name))
    for i, surface in enumerate(surfaces(table)):
        name = name_of("budget", *surface.names, str(i), ending=".png")
        files.append(figures.budget_curves(surface, out / name))
    for row in table:
        if any(point.get("guesses") for curve in (row.curve or {}).values() for point in curve):
            files.append(figures.guess_curve([row], out / _name("curve", row)))
        sheet = _first_samples(store, records, row)
        if sheet is not None:
            files.append(figures.sample_sheet(*sheet, out / _name("samples", row)))
    return files


def _name(kind: str, row: Row) -> str:
    # Rows that differ in threat model alone share their names, so the row key stands behind.
    names = "-".join(slug(x) for x in (row.scenario, row.model, row.lock_name, row.attack_name))
    return f"{kind}-{names[: LONGEST - len(kind) - len(row.row_key) - 6].rstrip('-')}-{row.row_key}.png"


def _first_samples(store: Store, records: list[Record], row: Row) -> tuple[Record, Mapping[str, NDArray[Any]]] | None:
    from reports.page.samples import strips

    if row.status != "ok":
        return None
    for record in (r for r in records if r.row_key == row.row_key and r.status == "ok"):
        evidence = store.evidence(record)
        if strips(record, evidence, "", 1):
            return record, evidence
    return None
