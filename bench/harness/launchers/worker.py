"""A worker: a process that runs one cell after another, as the harness sends them. No torch before the first cell."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.guests.wire import Wire, WireClosed
from bench.harness.watch import Evidence, Watch
from bench.records import Cell, Record
from bench.store.settings import Settings
from bench.store.store import Store

MOST_ANSWERS = 200_000
"""Per-image answers that are sent ahead of a record: as JSON, since the harness imports no torch."""
INTERVAL = 0.2
"""Seconds between two messages about the steps of a stage."""


def main(descriptor: int) -> None:
    """Serve cells that come over the socket ``descriptor`` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it dies of it without a word, and the harness tries the cell again
    end = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_harness, args=(descriptor,), daemon=True, name="end with harness").start()
    wire = Wire(end)
    try:
        while True:
            message = wire.receive()
            try:
                if message.kind == "check":
                    check(**message.body)
                    wire.send("checked")
                else:
                    wire.send("record", {"record": one(**message.body, watch=WireWatch(wire))})
            except UserError as error:
                wire.send("refused", {"message": error.message, "remedy": error.remedy})
    except WireClosed:
        return


def _end_with_harness(descriptor: int) -> None:
    """End this process when the harness is gone, so that a run that was killed leaves nothing."""
    poller = select.poll()
    poller.register(descriptor, 0)  # errors and the other end's closing alone
    poller.poll()
    os._exit(1)


class WireWatch(Watch):
    """Sends what happens to the harness, and of the steps of a stage a few a second."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._next = wire, 0.0

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """Send how far the stage is, at most every `INTERVAL`."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        self._wire.send("stage", {"name": name, "done": done, "total": total, "what": what})

    def measured(self, record: Record, evidence: Evidence) -> None:
        """Send what is measured so far."""
        answers = {name: values.tolist() for name, values in evidence.items() if not name.startswith("samples/")}
        if sum(map(len, answers.values())) <= MOST_ANSWERS:  # the harness hears of the rest with the record
            self._wire.send("measured", {"record": record.model_dump_json(), "answers": answers})


def check(cells: Sequence[str], planned: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Whether cells given as JSON can run, as far as that is known before they do.

    Raises:
        UserError: one cannot.
    """
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench import plan, registry

    registry.use(tuple(settings["plugin_files"]), run_guests=False)
    plan.check([Cell.model_validate_json(cell) for cell in cells])
    plan.check_accepts([plan.Planned(Cell.model_validate_json(cell), plan.ASKED) for cell in planned])


def one(cell: str, store: str, settings: Mapping[str, Any], command: str, watch: Watch | None = None) -> str:
    """Run one cell given as JSON; its record as JSON.

    Raises:
        UserError: as `bench.harness.cell.run_cell`.
    """
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench.harness.cell import run_cell
    from bench.harness.context import Context

    own = Settings(**{**settings, "plugin_files": tuple(settings["plugin_files"])})
    context = Context(Store(Path(store)), own, watch, command)
    return run_cell(Cell.model_validate_json(cell), context).model_dump_json()
