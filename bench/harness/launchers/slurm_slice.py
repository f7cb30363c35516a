"""What a job of a SLURM array does: the stages of its cells, one after another, on the store that all jobs share."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.harness.launchers.report import Pace
from bench.harness.needs import lock_of
from bench.harness.watch import Watch
from bench.plan.build import Planned
from bench.plan.graph import Graph, Stage
from bench.records import Cell, Record
from bench.store.disk import StoreError
from bench.store.settings import Settings
from bench.store.store import Store

INTERVAL = 1.0
"""Seconds between two lines about the steps of a stage."""


class FileWatch(Watch):
    """Writes what happens to a file, a line of JSON each.

    Args:
        file: in a folder that the driver sees.
        cells: of the slice.
    """

    def __init__(self, file: Path, cells: list[Cell]) -> None:
        self._file, self._cells, self._pace = file, cells, Pace(INTERVAL)
        self._node = socket.gethostname()

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """Write how far the stage is, at most every `INTERVAL`."""
        if self._pace.is_due():
            steps = {"name": name, "done": done, "total": total, "what": f"{what} on {self._node}"}
            self.write("steps", {"cell": self._cells.index(cell), **steps})

    def remark(self, text: str) -> None:
        """Write it."""
        self.write("remark", {"text": f"{text}, on {self._node}"})

    def stage_ended(self, stage: Stage) -> None:
        """Write which stage has ended."""
        self.write("ended", {"kind": stage.kind, "hash": stage.hash})

    def done(self, record: Record) -> None:
        """Write which record is there."""
        self.write("done", {"hash": record.hash})

    def write(self, event: str, body: Mapping[str, Any]) -> None:
        """Add one line."""
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"event": event, **body}) + "\n")


def run(slice_file: str) -> None:
    """Run the slice in the JSON file ``slice_file``; what happens goes to the file beside it, ``.events``."""
    from bench.guests import process as guests

    signal.signal(signal.SIGTERM, _end)  # a job that is ended has lost its stage, whatever its plugin's process says
    guests.start()  # before this process imports torch
    from bench import registry
    from bench.harness.launchers import inline

    value = json.loads(Path(slice_file).read_text(encoding="utf-8"))
    cells = [Cell.model_validate_json(cell) for cell in value["cells"]]
    settings = Settings(**{**value["settings"], "plugin_files": tuple(value["settings"]["plugin_files"])})
    watch = FileWatch(Path(slice_file).with_suffix(".events"), cells)
    try:
        registry.use(settings.plugin_files, run_guests=False)
        store = Store(Path(value["store"]), entropy=settings.entropy)
        planned = [Planned(cell, value["reason"]) for cell in cells]
        graph = Graph.of(planned, settings, store.has, reads_victim=lambda cell: value["victims"][lock_of(cell)])
        inline.launch(graph.folded("conditions"), store.root, settings, value["command"], watch)
    except UserError as error:
        body = {"message": error.message, "remedy": error.remedy, "store": isinstance(error, StoreError)}
        watch.write("refused", body)


def _end(*_: object) -> None:
    """End now: SLURM ends every process of a job, and the death of a plugin's must not be recorded as its failure."""
    os._exit(128 + signal.SIGTERM)
