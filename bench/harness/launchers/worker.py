"""A worker: a process that runs one stage after another, as the harness sends them. No torch before the first."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.guests.wire import Wire, WireClosed
from bench.harness.launchers.report import Pace, early_answers
from bench.harness.watch import Evidence, Watch
from bench.records import Cell, Record
from bench.store.settings import Settings
from bench.store.store import Store

if TYPE_CHECKING:
    from bench.harness.context import Context


def main(descriptor: int) -> None:
    """Serve stages that come over the socket ``descriptor`` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it dies of it without a word, and the harness tries the stage again
    end = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_harness, args=(descriptor,), daemon=True, name="end with harness").start()
    wire = Wire(end)
    try:
        while True:
            message = wire.receive()
            try:
                if message.kind == "check":
                    wire.send("checked", {"victims": check(**message.body)})
                else:
                    wire.send("ended", one(**message.body, watch=WireWatch(wire)))
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
        self._wire, self._pace = wire, Pace()

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """Send how far the stage is."""
        if self._pace.is_due():
            self._wire.send("steps", {"name": name, "done": done, "total": total, "what": what})

    def remark(self, text: str) -> None:
        """Send it."""
        self._wire.send("remark", {"text": text})

    def measured(self, record: Record, evidence: Evidence) -> None:
        """Send what is measured so far."""
        answers = early_answers(evidence)
        if answers is not None:  # as JSON, since the harness imports no torch
            plain = {name: values.tolist() for name, values in answers.items()}
            self._wire.send("measured", {"record": record.model_dump_json(), "answers": plain})


def check(cells: Sequence[str], planned: Sequence[str], settings: Mapping[str, Any]) -> dict[str, bool]:
    """Whether cells given as JSON can run, as far as that is known before they do.

    Returns:
        Whether each lock of ``cells`` needs the unprotected model, as `bench.harness.needs.victims` has it.

    Raises:
        UserError: one cannot.
    """
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench import plan, registry
    from bench.harness.needs import victims

    registry.use(tuple(settings["plugin_files"]), run_guests=False)
    todo = [Cell.model_validate_json(cell) for cell in cells]
    plan.check(todo)
    plan.check_accepts([plan.Planned(Cell.model_validate_json(cell), plan.ASKED) for cell in planned])
    return victims(todo)


@lru_cache(maxsize=1)
def _context(store: str, settings: Settings, command: str) -> Context:
    """What the stages of a run share in this process: data that is read, keyed images that are made."""
    from bench.harness.context import Context

    return Context(Store(Path(store)), settings, None, command)


def one(
    kind: str,
    cell: str,
    store: str,
    settings: Mapping[str, Any],
    command: str,
    failures: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Run one stage of a cell given as JSON.

    Args:
        failures: kind, hash and `bench.harness.failure.Failure` as JSON of each stage that is not tried again.

    Returns:
        ``record``: the record as JSON, where ``kind`` is ``scored``; ``failure``: why an artefact could not be made.

    Raises:
        UserError: as `bench.harness.stage_run.run_stage`.
    """
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench.harness.failure import Failure
    from bench.harness.stage_run import run_stage

    own = Settings(**{**settings, "plugin_files": tuple(settings["plugin_files"])})
    context = _context(store, own, command)
    context.watch = watch or Watch()
    context.failures = {(of, hash): Failure.from_json(value) for of, hash, value in failures}
    result = run_stage(kind, Cell.model_validate_json(cell), context)
    return {
        "record": result.model_dump_json() if isinstance(result, Record) else None,
        "failure": result.to_json() if isinstance(result, Failure) else None,
    }
