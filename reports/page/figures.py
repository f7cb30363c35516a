"""Pictures as PNG files: sample sheets, guess curves, budget curves, key conditions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.errors import UserError
from bench.records import Record
from reports.page import draw_png
from reports.page.charts import condition_bars
from reports.page.curves import best_so_far, budget_curve
from reports.page.gallery import class_name
from reports.page.palette import NEUTRAL, RIGHT, WRONG
from reports.rows.aggregate import rows as to_rows
from reports.rows.budget_surface import Surface
from reports.rows.row import Row
from reports.text.formatting import EMPTY
from reports.text.groups import grouped

SHEET_COLUMNS = 10
"""Samples on a sheet at most."""


def sample_sheet(record: Record, evidence: Mapping[str, NDArray[Any]], path: str | Path) -> Path:
    """Sample images raw, edited with the key, and edited with the attacker's best guess, predictions under each.

    Args:
        record: whose samples they are; its class names are read from ``classes`` where they are there, the
            best guess from ``selected["prompt"]``, the key's prompt from ``key``.
        evidence: ``samples/raw``, ``samples/key``, ``samples/guess`` (m, 3, H, W) uint8, ``samples/labels`` and
            ``samples/pred_raw``, ``…_key``, ``…_guess`` (m,) int; a kind of image that is absent is left out.
            Answers to a guess without images of its own are shown under the raw ones.
        path: the PNG to write.

    Returns:
        ``path``. At most `SHEET_COLUMNS` samples are drawn; the title says so.

    Raises:
        UserError: the evidence holds no sample images.
    """
    pictures = {kind: evidence[f"samples/{kind}"] for kind in ("raw", "key", "guess") if f"samples/{kind}" in evidence}
    if "guess" not in pictures and "raw" in pictures and "samples/pred_guess" in evidence:
        pictures["guess"] = pictures["raw"]  # an attack that edits nothing answers on the raw images
    kinds = list(pictures)
    if not kinds:
        raise UserError("This record holds no sample images.", "Run its cell again to have them.")
    total = len(pictures[kinds[0]])
    columns = min(total, SHEET_COLUMNS)
    figure = draw_png.figure(max(1.5 + 1.05 * columns, 5.5), 0.8 + 1.24 * len(kinds))
    axes = figure.subplots(len(kinds), columns, squeeze=False)
    labels = evidence.get("samples/labels")
    for row, kind in enumerate(kinds):
        predicted = evidence.get(f"samples/pred_{kind}")
        for column in range(columns):
            axis = axes[row, column]
            axis.imshow(pictures[kind][column].transpose(1, 2, 0), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            text, colour = _prediction(record, predicted, labels, column)
            axis.set_xlabel(text, color=colour, fontsize=8, labelpad=2)
            for spine in axis.spines.values():
                spine.set_edgecolor(colour)
                spine.set_linewidth(1.6)
            if row == 0 and labels is not None:
                axis.set_title(f"true: {class_name(record, int(labels[column]))}", fontsize=8, pad=3)
        words = textwrap.fill(_sheet_words(record, kind, f"samples/{kind}" in evidence), 16)
        axes[row, 0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8.5, labelpad=8)
    cell = record.cell
    count = f"first {columns} of {total} samples" if total > columns else f"{total} samples"
    figure.suptitle(
        f"{cell.lock.name} × {cell.attack.name}, {cell.scenario}, {cell.model}, seed {cell.replicate}: {count}\n"
        "under each image: the answer to it, ✓ right, ✗ wrong",
        fontsize=9.5,
    )
    return draw_png.save(figure, path)


def _sheet_words(record: Record, kind: str, edited: bool) -> str:
    if kind == "raw":
        return "raw, locked model"
    if kind == "key":
        prompt = (record.key or {}).get("prompt")
        return f"edited with the key “{prompt}”" if prompt else "edited with the key"
    if not edited:
        return "raw, answers of the attacker's predictor"
    guess = (record.selected or {}).get("prompt")
    return f"attacker's best guess “{guess}”" if guess else "attacker's best guess"


def _prediction(
    record: Record, predicted: NDArray[Any] | None, labels: NDArray[Any] | None, column: int
) -> tuple[str, str]:
    """Text and colour under one image; the mark says right or wrong to those who do not see the colour."""
    if predicted is None:
        return "no prediction", NEUTRAL
    name = class_name(record, int(predicted[column]))
    if labels is None:
        return name, NEUTRAL
    right = predicted[column] == labels[column]
    return textwrap.fill(f"{'✓' if right else '✗'} {name}", 14), RIGHT if right else WRONG


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
    """The locked model's accuracy under each key condition, with 95 % intervals; a panel for each lock and key.

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
