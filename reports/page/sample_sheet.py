"""The sample sheet of a record as a PNG file: its sample images with the answers under them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.errors import UserError
from bench.records import Record
from reports.page import draw_png
from reports.page.palette import BAD, GOOD, SOFT
from reports.page.samples import Sample, strips

COLUMNS = 10


def sample_sheet(record: Record, evidence: Mapping[str, NDArray[Any]], path: str | Path) -> Path:
    """Sample images of each kind that there is, a row of the sheet for each, with the answers under them.

    Args:
        record, evidence: as `samples.strips` takes them.
        path: the PNG to write.

    Returns:
        ``path``. At most `COLUMNS` samples are drawn; the title says so.

    Raises:
        UserError: the evidence holds no sample images.
    """
    cell = record.cell
    rows = strips(record, evidence, cell.attack.name, COLUMNS)
    if not rows:
        raise UserError("This record holds no sample images.", "Run its cell again to have them.")
    columns = max(len(row.samples) for row in rows)
    figure = draw_png.new_figure(max(1.5 + 1.05 * columns, 5.5), 0.8 + 1.24 * len(rows))
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
                axis.set_title(f"true: {sample.truth}", fontsize=8, pad=3)
        words = textwrap.fill(strip.words, 16)
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8, labelpad=8)
    total = max(len(evidence.get(f"samples/{strip.kind}", ())) for strip in rows)
    count = f"first {columns} of {total} samples" if total > columns else f"{total} samples"
    figure.suptitle(
        f"{cell.lock.name} × {cell.attack.name}, {cell.scenario}, {cell.model}, seed {cell.replicate}: {count}\n"
        "under each image: the answer to it, ✓ right, ✗ wrong",
        fontsize=9.5,
    )
    return draw_png.save(figure, path)


def _answer(sample: Sample) -> tuple[str, str]:
    """Text and colour under one image; the mark says right or wrong to those who do not see the colour."""
    if sample.right is None:
        return sample.answer, SOFT
    mark, colour = ("✓", GOOD) if sample.right else ("✗", BAD)
    return textwrap.fill(f"{mark} {sample.answer}", 14), colour
