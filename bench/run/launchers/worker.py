"""A worker: a process that runs one cell after another, as the harness sends them. No torch before the first cell."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.guests.wire import Wire, WireClosed
from bench.records import Cell
from bench.store.settings import Settings
from bench.store.store import Store


def main(descriptor: int) -> None:
    """Serve cells that come over the socket ``descriptor`` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it dies of it without a word, and the harness tries the cell again
    end = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_harness, args=(descriptor,), daemon=True, name="end with harness").start()
    wire = Wire(end)
    try:
        while True:
            body = wire.receive().body
            try:
                wire.send("record", {"record": one(**body)})
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


def one(cell: str, store: str, settings: Mapping[str, Any], command: str) -> str:
    """Run one cell given as JSON; its record as JSON.

    Raises:
        UserError: as `bench.run.cell.run_cell`.
    """
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench.run.cell import run_cell
    from bench.run.context import Context

    own = Settings(**{**settings, "plugin_files": tuple(settings["plugin_files"])})
    context = Context(Store(Path(store)), own, lambda *_: None, command)
    return run_cell(Cell.model_validate_json(cell), context).model_dump_json()
