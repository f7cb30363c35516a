"""A picture of what keys do to images: raw images, their masks, and each image after some of the keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reports.page.draw_png import figure, save
from reports.tools import edit_sizes

SHOWN = ("oil pastel", "charcoal sketch", "monet", "highlights", "church", "baseball", "zebra", "accordion")
"""Concepts of the picture: styles, a photo adjustment, objects."""
_SIDE = 0.78
"""Inches of an image."""


def draw(task: str, path: Path, n: int = 6, concepts: Sequence[str] = SHOWN) -> Path:
    """Draw ``n`` images of ``task`` under ``concepts`` into the PNG ``path``: a row for each, a column for each image.

    A row says the PSNR of its images against the raw ones, inside and outside the masks where there are any.
    """
    from bench.editors.change import change

    images, masks, _ = edit_sizes.data(task, n)
    rows: list[tuple[str, Any]] = [("raw", images)]
    if masks is not None:
        rows.append(("mask", (masks > 0)[:, None].expand(-1, 3, -1, -1).float()))
    for concept in concepts:
        after = edit_sizes.edited(images, concept)
        size = change(images, after, masks)
        words = f"{size.whole:.1f} dB" if size.inside is None else f"in {size.inside:.1f}, out {size.outside:.1f} dB"
        rows.append((f"{concept}\n{edit_sizes.group_of(concept)}\n{words}", after))
    canvas = figure(_SIDE * n + 1.7, _SIDE * len(rows) + 0.2)
    axes = canvas.subplots(len(rows), n, squeeze=False)
    for line, (label, shown) in zip(axes, rows, strict=True):
        for axis, image in zip(line, shown, strict=True):
            axis.imshow(torch.as_tensor(image).permute(1, 2, 0).numpy(), interpolation="nearest", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    return save(canvas, path)
