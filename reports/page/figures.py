"""Pictures as PNG files: sample sheets, guess curves, budget curves, key conditions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.errors import UserError
from bench.legible import shortened
from bench.plan.wording import in_short, name_text
from bench.records import Record
from reports.page import draw_png
from reports.page.charts import condition_bars
from reports.page.curves import best_so_far, budget_curve
from reports.page.palette import NEUTRAL, RIGHT, WRONG
from reports.page.samples import Sample, strips
from reports.rows.aggregate import rows as to_rows
from reports.rows.budget_surface import Surface
from reports.rows.row import Row
from reports.text.escaping import picture
from reports.text.formatting import EMPTY
from reports.text.groups import grouped

SHEET_COLUMNS = 10
"""Samples on a sheet at most."""


def sample_sheet(record: Record, evidence: Mapping[str, NDArray[Any]], path: str | Path) -> Path:
    """Sample images of each kind that there is, a row of the sheet for each, with the answers under them.

    Args:
        record, evidence: as `samples.strips` takes them.
        path: the PNG to write.

    Returns:
        ``path``. At most `SHEET_COLUMNS` samples are drawn; the title says so.

    Raises:
        UserError: the evidence holds no sample images.
    """
    cell = record.cell
    rows = strips(record, evidence, name_text(cell.attack.name), SHEET_COLUMNS)
    if not rows:
        raise UserError("This record holds no sample images.", "Run its cell again to have them.")
    columns = max(len(row.samples) for row in rows)
    figure = draw_png.figure(max(1.5 + 1.05 * columns, 5.5), 0.8 + 1.24 * len(rows))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, strip in zip(axes, rows, strict=True):
        for axis in row[len(strip.samples) :]:
            axis.set_axis_off()
        for axis, sample in zip(row, strip.samples, strict=False):
            axis.imshow(sample.image.transpose(1, 2, 0), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            text, colour = _answer(sample)
            axis.set_xlabel(text, color=colour, fontsize=8, labelpad=2)
            axis.spines[:].set(edgecolor=colour, linewidth=1.6)
            if strip is rows[0] and sample.truth is not None:
                axis.set_title(picture(f"true: {sample.truth}"), fontsize=8, pad=3)
        words = picture(textwrap.fill(strip.words, 16))
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8, labelpad=8)
    total = max(len(evidence.get(f"samples/{strip.kind}", ())) for strip in rows)
    count = f"first {columns} of {total} samples" if total > columns else f"{total} samples"
    legend = "under each image: the answer to it, ✓ right, ✗ wrong"
    if record.metric == "mIoU":
        legend = "masks over images, a colour for each class but the background; below, the mean IoU of the image"
    figure.suptitle(
        picture(textwrap.fill(f"{shortened(in_short(cell), 400)}: {count}", 100)) + f"\n{legend}",
        fontsize=9.5,
    )
    return draw_png.save(figure, path)


def _answer(sample: Sample) -> tuple[str, str]:
    """Text and colour under one image; the mark says right or wrong to those who do not see the colour."""
    if sample.right is None:
        return picture(sample.answer), NEUTRAL
    mark, colour = ("✓", RIGHT) if sample.right else ("✗", WRONG)
    return picture(textwrap.fill(f"{mark} {sample.answer}", 14)), colour


def guess_curve(rows_or_records: Sequence[Row] | Sequence[Record], path: str | Path, meter: str = "guesses") -> Path:
    """Best RP so far against what was spent: a faint line a seed, their mean, LP, oracle and public baseline.

    Args:
        rows_or_records: one panel for each row that has a curve. Records are joined to rows first, so the controls of
            their rows must be among them.
        path: the PNG to write.
        meter: the meter's field on the horizontal axis.

    Raises:
        UserError: no curve may be shown: none was recorded, or a control is missing.
    """
    records = [r for r in rows_or_records if isinstance(r, Record)]
    rows = to_rows(records) if records else [r for r in rows_or_records if isinstance(r, Row)]
    charts = [chart for row in rows if (chart := best_so_far(row, meter)) is not None]
    if not charts:
        lack = next((lack for row in rows for lack in row.missing), None)
        remedy = f"A control is missing ({lack.control}): {lack.command}" if lack else EMPTY
        raise UserError(f"There is no curve over {meter} to draw.", remedy)
    return draw_png.draw(charts, path)


def budget_curves(surface: Surface, path: str | Path) -> Path:
    """RP against a budget, a line for each value of the others, beside the public baseline with the same data.

    Args:
        surface: rows that differ in what the attacker may spend.
        path: the PNG to write.
    """
    return draw_png.draw([budget_curve(surface)], path)


def conditions_bars(rows: Sequence[Row], path: str | Path) -> Path:
    """The locked model under each key condition, with 95 % intervals; a panel for each lock and key.

    Args:
        rows: those without key conditions are left out.
        path: the PNG to write.

    Raises:
        UserError: no row has key conditions.
    """
    charts = [condition_bars(group, row) for group in grouped(rows) for row in group.lock_rows()]
    if not charts:
        raise UserError("There are no key conditions to draw.", EMPTY)
    return draw_png.draw(charts, path)
