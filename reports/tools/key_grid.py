"""Key conditions by kind, data set and model.

``python -m reports.tools.key_grid STORE [--lock modellock]`` prints Markdown.

Of each seed the mean over the conditions of a kind (two near prompts, four wrong styles), and the wrong style that
opens the lock furthest; then the mean over seeds with its t interval. Accuracies in percent over the K real classes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.records import Record
from bench.store import Store
from reports.rows.aggregate import current
from reports.rows.statistics import t_interval

Grid = dict[str, dict[str, list[float]]]
"""By kind of condition and by place, one value a seed."""
BEST = "wrong, best of the styles"


def kind(name: str) -> str:
    """``near``, ``wrong``, ``wrong:seed``, …: the name of a condition without the prompt."""
    return name.partition("/")[0]


def grid(records: Iterable[Record], lock: str = "modellock") -> Grid:
    """The conditions of ``lock``, each seed once; ``place`` is scenario, model, and what of lock and key is set."""
    found: Grid = {}
    seen: set[tuple[str, int]] = set()
    for record in current(records):
        cell = record.cell
        own = [f"{name} {value}" for name, value in cell.lock.explicit.items() if name != "key"]
        own += [] if cell.key.name == "edit" else [f"key {cell.key.name}"]
        place = ", ".join([cell.scenario, cell.model, *own])
        if record.status != "ok" or cell.lock.name != lock or cell.key.explicit:
            continue
        if not record.conditions or (place, cell.replicate) in seen:
            continue
        seen.add((place, cell.replicate))
        by_kind: dict[str, list[float]] = {}
        for condition in record.conditions:
            by_kind.setdefault(kind(condition.name), []).append(condition.accuracy.value)
        means = {name: float(np.mean(values)) for name, values in by_kind.items()}
        if len(by_kind.get("wrong", ())) > 1:
            means[BEST] = max(by_kind["wrong"])
        for name, value in means.items():
            found.setdefault(name, {}).setdefault(place, []).append(value)
    return found


def markdown(found: Grid) -> str:
    """A table of kinds by places: mean, and ± the half-width of the t interval where there are seeds for one."""
    places = sorted({place for values in found.values() for place in values})
    lines = [
        "| condition | " + " | ".join(places) + " |",
        "|---|" + "--:|" * len(places),
    ]
    for name, values in found.items():
        lines.append(f"| {name} | " + " | ".join(_cell(values.get(place, [])) for place in places) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "—"
    mean = f"{np.mean(values):.1f}"
    if len(values) < 2:
        return mean
    low, high = t_interval(values)
    return f"{mean} ± {(high - low) / 2:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the grid of a store."""
    parser = argparse.ArgumentParser(
        prog="python -m reports.tools.key_grid", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--lock", default="modellock")
    told = parser.parse_args(arguments)
    try:
        found = grid(Store(told.store, write=False).records(), told.lock)
        if not found:
            raise UserError(f"{told.store} has no key conditions of {told.lock}.", f"Run: bench run --lock {told.lock}")
        print(markdown(found))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
