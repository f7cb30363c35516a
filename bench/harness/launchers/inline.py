"""Cells one after another in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.watch import Watch
from bench.records import Cell
from bench.store.settings import Settings
from bench.store.store import Store


def launch(cells: Sequence[Cell], store: Path, settings: Settings, command: str, watch: Watch) -> None:
    """Run ``cells`` in order; ``watch`` hears of each."""
    context = Context(Store(store), settings, watch, command)
    for cell in cells:
        watch.done(run_cell(cell, context))
