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
APART = 0.24, 0.05
"""Shares of a panel's width and height by which two names must differ, one of them at least."""
Point = tuple[float, float, str]
"""x, y and the name of a prompt."""
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
            points: list[Point] = []
            for group, colour, symbol in zip(GROUPS, COLOURS, list(SYMBOLS.values()), strict=False):
                own = [p for p in found if (p.place, p.group) == (place, group)]
                pairs = [(COLUMNS[x](p), COLUMNS[y](p), p.concept) for p in own]
                known: list[Point] = [(a, b, name) for a, b, name in pairs if a is not None and b is not None]
                if known:
                    across, up = ([values[i] for values in known] for i in (0, 1))
                    axis.scatter(across, up, s=16, color=colour, marker=symbol.matplotlib, label=group)
                    points += known
            for a, b, name in legible(points):
                axis.annotate(name, (a, b), fontsize=5, xytext=(2, 2), textcoords="offset points")
            axis.set_xlabel(f"{x}, {_UNITS.get(x, '%')}", fontsize=8)
            axis.set_ylabel(f"{y}, %", fontsize=8)
            axis.tick_params(labelsize=6)
            axis.grid(alpha=0.25)
        line[0].set_title(place, fontsize=8, loc="left")
        marks, groups = line[0].get_legend_handles_labels()
        line[1].legend(marks, groups, fontsize=6, ncols=len(groups), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return save(canvas, path)


def legible(points: Sequence[Point]) -> list[Point]:
    """Those of ``points`` whose names can stand side by side: the loneliest first, each where no other is too near."""
    if not points:
        return []
    across, up = [x for x, _, _ in points], [y for _, y, _ in points]
    width, height = max(across) - min(across) or 1.0, max(up) - min(up) or 1.0
    places = [(x / width / APART[0], y / height / APART[1]) for x, y, _ in points]

    def distance(i: int, j: int) -> float:
        return max(abs(places[i][0] - places[j][0]), abs(places[i][1] - places[j][1]))

    others = {i: sorted(distance(i, j) for j in range(len(points)) if j != i) for i in range(len(points))}
    chosen: list[int] = []
    for i in sorted(others, key=lambda i: others[i][:3], reverse=True):
        if all(distance(i, j) >= 1 for j in chosen):
            chosen.append(i)
    return [points[i] for i in sorted(chosen)]
