"""Pictures as PNG: sample sheets, guess curves, key conditions. matplotlib is imported when the first is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from bench.records import Record
from reports import files
from reports.rows.aggregate import half_recovery, readings
from reports.rows.aggregate import rows as to_rows
from reports.rows.budget_surface import WORDS, Surface
from reports.rows.intervals import Value
from reports.rows.row import Row
from reports.text.formatting import EMPTY, number, seeds_words, threat_words
from reports.text.groups import grouped, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG = "#1b7837", "#b2182b"
BLUE, GREY, ORANGE, PURPLE = "#2166ac", "#777777", "#c7690a", "#7b3294"
SHEET_COLUMNS = 10
LOG_FROM = 50
"""Guesses from which the horizontal axis is logarithmic beyond the first ten."""


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
    figure = _figure(max(1.5 + 1.05 * columns, 5.5), 0.8 + 1.24 * len(kinds))
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
                axis.set_title(f"true: {_class(record, labels[column])}", fontsize=8, pad=3)
        words = textwrap.fill(_sheet_words(record, kind, f"samples/{kind}" in evidence), 16)
        axes[row, 0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8.5, labelpad=8)
    cell = record.cell
    count = f"first {columns} of {total} samples" if total > columns else f"{total} samples"
    figure.suptitle(
        f"{cell.lock.name} × {cell.attack.name}, {cell.scenario}, {cell.model}, seed {cell.replicate}: {count}\n"
        "under each image: the answer to it, ✓ right, ✗ wrong",
        fontsize=9.5,
    )
    return _write(figure, path)


def _sheet_words(record: Record, kind: str, edited: bool) -> str:
    if kind == "raw":
        return "raw, locked model"
    if kind == "key":
        prompt = (record.key or {}).get("prompt")
        return f"edited with the key “{prompt}”" if prompt else "edited with the key"
    if not edited:
        return "raw, answers of the attacker's predictor"
    selected = record.selected
    guess = selected.get("prompt") if isinstance(selected, Mapping) else None
    return f"attacker's best guess “{guess}”" if guess else "attacker's best guess"


def _class(record: Record, index: int) -> str:
    names = record.classes
    if isinstance(names, Sequence) and 0 <= index < len(names):
        return str(names[index])
    return str(int(index))


def _prediction(
    record: Record, predicted: NDArray[Any] | None, labels: NDArray[Any] | None, column: int
) -> tuple[str, str]:
    """Text and colour under one image; the mark says right or wrong to those who do not see the colour."""
    if predicted is None:
        return "no prediction", GREY
    name = _class(record, predicted[column])
    if labels is None:
        return name, GREY
    right = predicted[column] == labels[column]
    return textwrap.fill(f"{'✓' if right else '✗'} {name}", 14), RIGHT if right else WRONG


def guess_curve(rows_or_records: Sequence[Row] | Sequence[Record], path: str | Path, meter: str = "guesses") -> Path:
    """Best RP so far against what was spent: a faint line a seed, their mean, LP, oracle and public baseline.

    Args:
        rows_or_records: one panel for each row that has a curve. Records are made rows first, so the controls of
            their rows must be among them.
        path: the PNG to write.
        meter: the meter's field on the horizontal axis.

    Raises:
        UserError: no curve may be shown: none was recorded, or a control is missing.
    """
    records = [r for r in rows_or_records if isinstance(r, Record)]
    given = to_rows(records) if records else [r for r in rows_or_records if isinstance(r, Row)]
    drawn = [row for row in given if _curves(row, meter)]
    if not drawn:
        lacks = next((lack for row in given for lack in row.missing), None)
        remedy = f"A control is missing ({lack_words(lacks.control)}): {lacks.command}" if lacks else EMPTY
        raise UserError(f"There is no curve over {meter} to draw.", remedy)
    figure = _figure(7.2, 4.9 * len(drawn))
    for axis, row in zip(figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn, strict=True):
        _curve_panel(axis, row, meter)
    return _write(figure, path)


def budget_curves(surface: Surface, path: str | Path) -> Path:
    """RP against a budget, a line for each value of the others, beside the public baseline with the same data.

    Args:
        surface: rows that differ in what the attacker may spend.
        path: the PNG to write.
    """
    figure = _figure(7.2, 4.9)
    axis = figure.subplots()
    lines = surface.lines()
    for i, (rest, line) in enumerate(lines.items()):
        x = [at for at, _ in line]
        words = ", ".join(f"{WORDS[n]} {v:g}" for n, v in zip(surface.axes[1:], rest, strict=True))
        shade = BLUE if len(lines) == 1 else str(0.65 * i / max(1, len(lines) - 1))
        for field, colour, style, name in (
            ("RP", shade, "-o", f"RP {words}".strip()),
            ("public_baseline", PURPLE, "-.s", "public baseline, the same data" if i == len(lines) - 1 else None),
        ):
            values = [row.values[field] for _, row in line]
            mean = [np.nan if v is None else v.mean for v in values]
            arms = [[0 if v is None or e is None else abs(v.mean - e) for v, e in _ends(values, end)] for end in (0, 1)]
            axis.errorbar(x, mean, yerr=arms, fmt=style, color=colour, capsize=3, markersize=5, label=name)
    row = next(iter(surface.points.values()))
    for field, words, colour, style in (
        ("oracle", "oracle (victim)", RIGHT, "--"),
        ("LP", "LP, no attack", WRONG, ":"),
    ):
        value = row.values[field]
        if value is not None:
            axis.axhline(value.mean, color=colour, linestyle=style, label=f"{words}: {number(value.mean)} %")
    if min(x) > 0 and max(x) / min(x) >= 10:
        axis.set_xscale("log")
    axis.set_xticks(x, [f"{v:g}" for v in x])
    axis.minorticks_off()
    axis.set_ylim(0, 104)
    axis.set_xlabel(WORDS[surface.axes[0]])
    axis.set_ylabel("accuracy on un-authorised test images (%)")
    axis.set_title(f"{surface.title}\n{seeds_words(row.seeds)}; bars: 95 % intervals", fontsize=9.5)
    axis.legend(fontsize=8, loc="best", framealpha=0.9)
    return _write(figure, path)


def _ends(values: Sequence[Value | None], end: int) -> list[tuple[Value | None, float | None]]:
    return [(v, None if v is None else (v.low, v.high)[end]) for v in values]


def lack_words(control: str) -> str:
    """A control's name in a sentence."""
    return f"the {control}" if control == "public baseline" else control


def _curves(row: Row, meter: str) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each seed the readings and the best RP up to each."""
    found = {}
    for seed, curve in (row.curve or {}).items():
        points = readings(curve, meter)
        # A curve over a meter that never moved is a point.
        if points and points[-1][0] > 0:
            x, rp = np.array(points).T
            found[seed] = (x, np.maximum.accumulate(rp))
    return found


def _curve_panel(axis: Axes, row: Row, meter: str) -> None:
    curves = _curves(row, meter)
    # Before its first submission a seed has nothing to average.
    start = max(x[0] for x, _ in curves.values())
    end = max(x[-1] for x, _ in curves.values())
    grid = np.unique(np.concatenate([[start, end], *(x[x >= start] for x, _ in curves.values())]))
    mean = np.mean([best[np.searchsorted(x, grid, side="right") - 1] for x, best in curves.values()], axis=0)
    if len(curves) > 1:
        for i, (x, best) in enumerate(curves.values()):
            name = "one seed" if i == 0 else None
            axis.step([*x, end], [*best, best[-1]], where="post", color=BLUE, alpha=0.3, linewidth=1, label=name)
    name = f"best RP so far, mean of {len(curves)} seeds" if len(curves) > 1 else "best RP so far"
    name += "\n(judged on test; the attacker does not see it)"
    axis.step(grid, mean, where="post", color=BLUE, linewidth=2.2, label=name)
    lines = (
        ("oracle", "oracle (victim)", RIGHT, "--"),
        ("public_baseline", "public baseline", PURPLE, "-."),
        ("LP", "LP, no attack", WRONG, ":"),
    )
    for field, words, colour, style in lines:
        value = row.values[field]
        if value is not None:
            axis.axhline(value.mean, color=colour, linestyle=style, label=f"{words}: {number(value.mean)} %")
    returned = row.values["RP"]
    if returned is not None:
        words = f"handed back, RP {number(returned.mean)} %"
        axis.plot([end], [returned.mean], "D", color=ORANGE, markersize=7, label=words, clip_on=False, zorder=5)
    _half_marker(axis, row, grid, mean, meter)
    if end > LOG_FROM:
        axis.set_xscale("symlog", linthresh=10, linscale=0.6)
        ticks = [t for t in (0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**4, 10**5, 10**6) if t <= end]
        axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
        axis.minorticks_off()
    axis.set_xlim(0, end * 1.04)
    axis.set_ylim(0, 104)
    axis.set_xlabel(f"{'guesses spent (prompts tried)' if meter == 'guesses' else meter.replace('_', ' ')}")
    axis.set_ylabel("accuracy on un-authorised test images (%)")
    heading = f"{row.lock} × {row.attack}"
    threat = textwrap.fill(threat_words(row.threat), 105)
    place = f"{row.scenario}, {row.model}, {seeds_words(tuple(curves))}"
    axis.set_title(f"{textwrap.fill(heading, 70)}\n{place}", fontsize=10, pad=6 + 10 * (threat.count("\n") + 1))
    axis.text(0.5, 1.012, threat, transform=axis.transAxes, ha="center", va="bottom", fontsize=7, color=GREY)
    axis.grid(alpha=0.25)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8.5, frameon=False)


def _half_marker(axis: Axes, row: Row, grid: NDArray[Any], mean: NDArray[Any], meter: str) -> None:
    lp, oracle = row.mean("LP"), row.mean("oracle")
    if lp is None or oracle is None:
        return
    half = half_recovery([{meter: x, "RP": y} for x, y in zip(grid, mean, strict=True)], lp, oracle, meter)
    if half is None:
        axis.plot([], [], " ", label="half of the lost performance: never back")
        return
    level = (lp + oracle) / 2
    axis.plot([half, half], [0, level], color="black", linewidth=0.9, linestyle=(0, (1, 2)))
    spent = f"guess {half:g}" if meter == "guesses" else f"{half:g} {meter.replace('_', ' ')}"
    words = f"half of the lost performance back: at {spent}"
    axis.plot([half], [level], "o", color="black", markersize=8, fillstyle="none", markeredgewidth=1.8, label=words)


def conditions_bars(rows: Sequence[Row], path: str | Path) -> Path:
    """The locked model's accuracy under each key condition, with 95 % intervals; a panel for each lock and key.

    Args:
        rows: those without key conditions are left out.
        path: the PNG to write.

    Raises:
        UserError: no row has key conditions.
    """
    panels = [(title(group), row) for group in grouped(rows) for row in group.lock_rows()]
    if not panels:
        raise UserError("There are no key conditions to draw.", EMPTY)
    heights = [len(row.conditions) + 3.2 for _, row in panels]
    figure = _figure(8.2, 0.34 * sum(heights) + 0.5)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (place, row), height in zip(axes, panels, heights, strict=True):
        _condition_panel(axis, place, row, 0.34 * height)
    return _write(figure, path)


def _condition_panel(axis: Axes, place: str, row: Row, inches: float) -> None:
    values = [c.accuracy for c in row.conditions]
    # An accuracy near 0 has an arm that would leave the axis; percent ends at 0 and 100.
    arms = np.array([_arms(value) for value in values]).T
    y = np.arange(len(values))
    colours = [RIGHT if c.name == "right" else BLUE for c in row.conditions]
    axis.barh(y, [v.mean for v in values], color=colours, height=0.66, alpha=0.85)
    axis.errorbar([v.mean for v in values], y, xerr=arms, fmt="none", ecolor="black", elinewidth=1.1, capsize=2.5)
    for i, value in enumerate(values):
        axis.text(102, i, number(value.mean), va="center", fontsize=8)
    names = [c.name + (f"  ({c.what})" if c.what and len(c.name + c.what) <= 46 else "") for c in row.conditions]
    axis.set_yticks(y, names, fontsize=8)
    axis.invert_yaxis()
    for field, colour, style in (("oracle", RIGHT, "--"), ("floor", GREY, ":")):
        mean = row.mean(field)
        if mean is not None:
            words = f"{'victim on un-authorised images' if field == 'oracle' else 'floor'} {number(mean)} %"
            axis.axvline(mean, color=colour, linestyle=style, linewidth=1.2, label=words)
    kinds = " / ".join(dict.fromkeys(v.kind for v in values if v.kind))
    axis.set_xlim(0, 100)
    axis.set_xticks(range(0, 101, 20))
    axis.set_xlabel(
        f"accuracy (%); bars of error: 95 %, {kinds}" if kinds else "accuracy (%); no intervals", fontsize=8.5
    )
    axis.set_title(f"{row.lock}, key {row.key} — {place}, {seeds_words(row.seeds)}", fontsize=9.5, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_legend_handles_labels()[0]:
        # Under the axis, at a distance that does not grow with the panel.
        below = -0.6 / inches
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2, fontsize=8, frameon=False)


def _arms(value: Value) -> tuple[float, float]:
    if value.low is None or value.high is None:
        return 0.0, 0.0
    return max(value.mean - max(value.low, 0.0), 0.0), max(min(value.high, 100.0) - value.mean, 0.0)


def _figure(width: float, height: float) -> Figure:
    # Without pyplot no state is kept, and the Agg canvas of a bare figure needs no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _write(figure: Figure, path: str | Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return files.atomic(path, lambda file: figure.savefig(file, format="png", dpi=150))
