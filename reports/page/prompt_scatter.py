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
_UNITS = {"size of the edit": "−dB", "size inside": "−dB", "size outside": "−dB", "CLIP, images": "cosine"}


def draw(found: Sequence[Prompt], path: Path) -> Path:
    """Draw a row of panels for each place into the PNG ``path``; a colour and a symbol for each group."""
    places = list(dict.fromkeys(p.place for p in found))
    canvas = figure(2.5 * len(PANELS), 2.7 * len(places) + 0.3)
    axes = canvas.subplots(len(places), len(PANELS), squeeze=False)
    for place, line in zip(places, axes, strict=True):
        for (x, y), axis in zip(PANELS, line, strict=True):
            for group, colour, symbol in zip(GROUPS, COLOURS, list(SYMBOLS.values()), strict=False):
                own = [p for p in found if (p.place, p.group) == (place, group)]
                pairs = [(COLUMNS[x](p), COLUMNS[y](p), p.concept) for p in own]
                known = [(a, b, name) for a, b, name in pairs if a is not None and b is not None]
                if known:
                    across, up = ([values[i] for values in known] for i in (0, 1))
                    axis.scatter(across, up, s=16, color=colour, marker=symbol.matplotlib, label=group)
                    for a, b, name in known:
                        axis.annotate(name, (a, b), fontsize=3.5, xytext=(2, 2), textcoords="offset points")
            axis.set(xlabel=f"{x}, {_UNITS.get(x, '%')}", ylabel=f"{y}, %")
            axis.tick_params(labelsize=6)
            axis.grid(alpha=0.25)
        line[0].set_title(place, fontsize=8, loc="left")
        line[0].legend(fontsize=5)
    return save(canvas, path)
