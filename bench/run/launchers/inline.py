"""Cells one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.records import Cell, Record
from bench.run.cell import Context, Progress, run_cell
from bench.store import Store
from bench.store.identity import Settings


def launch(
    cells: Sequence[Cell],
    store: Path,
    settings: Settings,
    command: str,
    progress: Progress,
    done: Callable[[Record], None],
) -> None:
    """Run ``cells`` in order; ``done`` hears of each record."""
    context = Context(Store(store), settings, progress, command)
    for cell in cells:
        done(run_cell(cell, context))
