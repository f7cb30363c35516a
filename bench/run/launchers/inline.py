"""Cells one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.records import Cell, Record
from bench.run.cell import run_cell
from bench.run.context import Context, Progress
from bench.store.settings import Settings
from bench.store.store import Store


def launch(
    cells: Sequence[Cell],
    store: Path,
    settings: Settings,
    command: str,
    progress: Progress,
    done: Callable[[Record], None],
) -> None:
    """Run ``cells`` in order; ``done`` is called with each record."""
    context = Context(Store(store), settings, progress, command)
    for cell in cells:
        done(run_cell(cell, context))
