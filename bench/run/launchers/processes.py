"""Cells in several processes, each with the same fixed number of threads; the store keeps them apart."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from bench.errors import UserError
from bench.records import Cell, Record
from bench.store import identity
from bench.store.settings import Settings
from bench.store.store import Store

Artefact = tuple[str, str]
"""Kind and hash."""
POLL = 1.0
"""Seconds between looks at what the store has by now."""


def one(cell: str, store: str, settings: Settings, command: str) -> str:
    """Run one cell given as JSON; its record as JSON."""
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench.run.cell import run_cell
    from bench.run.context import Context

    context = Context(Store(Path(store)), settings, lambda *_: None, command)
    return run_cell(Cell.model_validate_json(cell), context).model_dump_json()


def workers(jobs: int) -> ProcessPoolExecutor:
    """``jobs`` processes that end with this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, so that a run that was killed leaves nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:  # not a worker
        return

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
    """Run ``cells`` in ``jobs`` processes; ``done`` is called with each record as it is ready.

    Cells that share a victim or lock wait for one another through the store's locks, so the order of work
    never decides a number; it is chosen so that they seldom have to.
    """
    opened = Store(store, write=False)
    needs = [shared(cell, settings) for cell in cells]
    waiting, running = list(range(len(cells))), dict[Future[str], int]()
    with workers(jobs) as pool:
        try:
            while waiting or running:
                while len(running) < jobs:
                    claimed = set[Artefact]().union(*(needs[i] for i in running.values()))
                    turn = first_free(waiting, needs, {lacking for lacking in claimed if not opened.has(*lacking)})
                    if turn is None:
                        break
                    waiting.remove(turn)
                    job = pool.submit(one, cells[turn].model_dump_json(), str(store), settings, command)
                    running[job] = turn
                for job in wait(running, timeout=POLL, return_when=FIRST_COMPLETED).done:
                    running.pop(job)
                    done(Record.model_validate_json(job.result()))
        except (KeyboardInterrupt, UserError):
            pool.shutdown(cancel_futures=True)
            raise


def first_free(
    waiting: Sequence[int], needs: Sequence[frozenset[Artefact]], making: Collection[Artefact]
) -> int | None:
    """The first of ``waiting`` that needs nothing of what is being made; None where all would have to wait."""
    return next((i for i in waiting if needs[i].isdisjoint(making)), None)


def shared(cell: Cell, settings: Settings) -> frozenset[Artefact]:
    """What ``cell`` shares with others: its victim, its lock, the verdict on the lock."""
    hashes = identity.of(cell, settings).hashes
    return frozenset((kind, hashes[kind]) for kind in ("victim", "protected", "judged"))
