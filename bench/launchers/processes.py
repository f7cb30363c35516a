"""Cells in several processes, each with the same fixed number of threads; the store keeps them apart."""

from __future__ import annotations

import multiprocessing
import os
import threading
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


def workers(jobs: int) -> ProcessPoolExecutor:
    """``jobs`` processes that end with this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went: a run that was killed leaves nothing."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()


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
    with workers(jobs) as pool:
        waiting = [pool.submit(one, c.model_dump_json(), str(store), settings, command) for c in cells]
        try:
            for future in as_completed(waiting):
                done(Record.model_validate_json(future.result()))
        except (KeyboardInterrupt, UserError):
            pool.shutdown(cancel_futures=True)
            raise
