"""The scatter of the prompt study: LP and UP of each prompt against print, relatedness and the size of the edit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.page.draw_png import figure, save
from reports.page.palette import COLOURS, SYMBOLS
from reports.tools.edit_sizes import GROUPS
from reports.tools.prompt_study import COLUMNS, Prompt

PANELS = (
    ("printed LP", "LP"), ("printed UP", "UP"), ("size of the edit", "LP"), ("size of the edit", "UP"),
    ("CLIP, images", "LP"), ("victim after the key", "LP"),
)  # fmt: skip
"""What lies along x and y of each panel of a place."""
ACROSS = 3
_UNITS = {"size of the edit": "−dB", "size inside": "−dB", "size outside": "−dB", "CLIP, images": "cosine"}


def draw(found: Sequence[Prompt], path: Path) -> Path:
    """Draw the panels of each place, `ACROSS` in a row, into the PNG ``path``; a colour and a symbol for each group."""
    places = list(dict.fromkeys(p.place for p in found))
    rows = -(-len(PANELS) // ACROSS)
    canvas = figure(3.1 * ACROSS, 2.6 * rows * len(places) + 0.3)
    axes = canvas.subplots(rows * len(places), ACROSS, squeeze=False)
    for unused in axes.reshape(len(places), -1)[:, len(PANELS) :].flat:
        unused.set_axis_off()
    for place, line in zip(places, axes.reshape(len(places), -1)[:, : len(PANELS)], strict=True):
        for (x, y), axis in zip(PANELS, line, strict=True):
            for group, colour, symbol in zip(GROUPS, COLOURS, list(SYMBOLS.values()), strict=False):
                own = [p for p in found if (p.place, p.group) == (place, group)]
                pairs = [(COLUMNS[x](p), COLUMNS[y](p), p.concept) for p in own]
                known = [(a, b, name) for a, b, name in pairs if a is not None and b is not None]
                if known:
                    across, up = ([values[i] for values in known] for i in (0, 1))
                    axis.scatter(across, up, s=16, color=colour, marker=symbol.matplotlib, label=group)
                    for a, b, name in known:
                        axis.annotate(name, (a, b), fontsize=5, xytext=(2, 2), textcoords="offset points")
            axis.set_xlabel(f"{x}, {_UNITS.get(x, '%')}", fontsize=8)
            axis.set_ylabel(f"{y}, %", fontsize=8)
            axis.tick_params(labelsize=6)
            axis.grid(alpha=0.25)
        line[0].set_title(place, fontsize=8, loc="left")
        marks, groups = line[0].get_legend_handles_labels()
        line[1].legend(marks, groups, fontsize=6, ncols=len(groups), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return save(canvas, path)
