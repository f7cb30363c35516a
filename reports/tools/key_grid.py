"""Key conditions by kind, data set and model. `bench key-grid` prints it.

A seed counts with its mean over the conditions of a kind (two near prompts, four wrong styles). The wrong style that
opens the lock furthest has a line of its own. The table has means over seeds with their t intervals, in percent over
the K real classes; one or two seeds are listed one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bench import registry
from bench.plan.wording import name_text, scenario_label, value_text
from bench.records import Condition, Record
from reports.rows.aggregate import current
from reports.rows.statistics import t_interval
from reports.text.escaping import markdown as escape
from reports.text.formatting import LISTED
from reports.text.markdown_table import markdown_table

Grid = dict[str, dict[str, list[float]]]
"""By kind of condition and by place, percent, one value a seed."""
BEST = "wrong, best of the styles"
"""The line of the wrong style that opens the lock furthest."""


def grid(records: Iterable[Record], lock: str = "modellock") -> Grid:
    """The conditions of ``lock``, each seed once. A place is scenario, model, and what is set of lock and key."""
    info = registry.current().get("lock", lock)
    usual = None if info is None else info.key
    cells: Grid = {}
    seen: set[tuple[str, int]] = set()
    for record in sorted(current(records), key=lambda record: record.cell.replicate):
        cell = record.cell
        own = [f"{name} {value_text(value)}" for name, value in cell.lock.explicit.items() if name != "key"]
        own += [] if cell.key.name == usual else [f"key {name_text(cell.key.name)}"]
        place = ", ".join([scenario_label(cell), name_text(cell.model_name), *own])
        if record.status != "ok" or cell.lock.name != lock or cell.key.explicit:
            continue
        if not record.conditions or (place, cell.replicate) in seen:
            continue
        seen.add((place, cell.replicate))
        by_kind: dict[str, list[float]] = {}
        for condition in record.conditions:
            by_kind.setdefault(_kind(condition), []).append(condition.accuracy.value)
        means = {name: float(np.mean(values)) for name, values in by_kind.items()}
        if len(by_kind.get("wrong", ())) > 1:
            means[BEST] = max(by_kind["wrong"])
        for name, value in means.items():
            cells.setdefault(name, {}).setdefault(place, []).append(value)
    return cells


def _kind(condition: Condition) -> str:
    """What a condition is averaged with: its kind, and the setting where one was changed."""
    return condition.name if condition.kind in ("setting", "random", "partial") else condition.kind


def markdown(grid: Grid, each_seed: bool = False) -> str:
    """A table of kinds by places: mean, and ± the half-width of the t interval where there are seeds for one.

    Args:
        grid: as `grid` gives it.
        each_seed: list the values of the seeds, in their order, in place of the mean.
    """
    places = sorted({place for values in grid.values() for place in values})
    rows = [
        (escape(name), *(_cell(values.get(place, []), each_seed) for place in places)) for name, values in grid.items()
    ]
    return markdown_table(("condition", *map(escape, places)), rows, "l" + "r" * len(places))


def _cell(values: Sequence[float], each_seed: bool) -> str:
    if not values:
        return "—"
    if each_seed or len(values) <= LISTED:
        return ", ".join(f"{value:.1f}" for value in values)
    low, high = t_interval(values)
    return f"{np.mean(values):.1f} ± {(high - low) / 2:.1f}"
