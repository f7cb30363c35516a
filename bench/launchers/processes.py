"""Cells in several processes, each with the same fixed number of threads; the store keeps them apart."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from bench.errors import UserError
from bench.identity import Settings
from bench.records import Cell, Record


def one(cell: str, store: str, settings: Settings, command: str) -> str:
    """Run one cell given as JSON; its record as JSON."""
    from bench import forks

    forks.start()  # before this process imports torch
    from bench.runner import Context, run_cell
    from bench.store import Store

    context = Context(Store(Path(store)), settings, lambda *_: None, command)
    return run_cell(Cell.model_validate_json(cell), context).model_dump_json()


def launch(
    cells: Sequence[Cell],
    store: Path,
    settings: Settings,
    command: str,
    jobs: int,
    done: Callable[[Record], None],
) -> None:
    """Run ``cells`` in ``jobs`` processes; ``done`` hears of each record as it is ready.

    Cells that share a victim or lock wait for one another through the store's locks, so the order of work
    never decides a number.
    """
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(one, c.model_dump_json(), str(store), settings, command) for c in cells]
        try:
            for future in as_completed(waiting):
                done(Record.model_validate_json(future.result()))
        except (KeyboardInterrupt, UserError):
            pool.shutdown(cancel_futures=True)
            raise
