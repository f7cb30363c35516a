"""Stages as jobs of a SLURM array (extra ``lockbench[slurm]``), on a store that driver and nodes share.

Each job runs a slice of the graph: cells that share a lock stay together. The driver submits, shows what happens, and
submits again what a lost job left. A driver that starts again ends the jobs that the one before it left, and goes on.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.harness.launchers.slurm_slice import run as run_slice
from bench.harness.needs import victims
from bench.harness.watch import Watch
from bench.plan.build import ASKED
from bench.plan.graph import Graph, Stage
from bench.plan.slices import slices
from bench.records import Cell, Record
from bench.store import disk, locks, parts
from bench.store.disk import StoreError
from bench.store.settings import Settings
from bench.store.store import Store

FOLDER = "slurm"
"""In the store: what driver and jobs tell one another, and the jobs' logs."""
JOBS = "jobs.json"
"""Of a run: the jobs that it has submitted, for the driver that comes after one that was killed."""
POLL = 2.0
"""Seconds between looks at what jobs write."""
QUEUE = 10.0
"""Seconds between looks at SLURM's queue."""
TRIES = 3
"""How often a slice is submitted that gets no further."""


@dataclass(frozen=True)
class Request:
    """What a job asks of SLURM.

    Args:
        jobs: in the array.
        minutes: that a job may take; what is left then is submitted again.
        partition: None: SLURM's own choice.
        gpus: of each job, where it computes on a GPU.
        gigabytes: of memory of each job; None: SLURM's own choice.
        more: other options of ``sbatch`` by name, e.g. ``{"account": "vision"}``.
    """

    jobs: int = 8
    minutes: int = 24 * 60
    partition: str | None = None
    gpus: int = 1
    gigabytes: float | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, str], jobs: int | None, gpus: float) -> Request:
        """What a user asks for.

        Args:
            options: of ``sbatch``, by name: ``partition``, ``time`` (minutes), ``mem`` (10^9 bytes), and any other.
            jobs: in the array; None: the usual number.
            gpus: of each job.

        Raises:
            UserError: a value that is no number where one is due.
        """
        more = dict(options)
        numbers: dict[str, Any] = {"jobs": jobs} if jobs else {}
        for option, name, kind in (("time", "minutes", int), ("mem", "gigabytes", float)):
            if option in more:
                try:
                    numbers[name] = kind(more.pop(option))
                except ValueError:
                    raise UserError(
                        f"--slurm {option}={options[option]} is no number.",
                        "time counts minutes, mem 10^9 bytes: --slurm time=600 --slurm mem=16",
                    ) from None
        return cls(partition=more.pop("partition", None), gpus=max(1, round(gpus)), more=more, **numbers)


@dataclass
class _Slice:
    """Cells of one job of the array, and how it fares.

    Args:
        cells: of the slice, those that are done apart.
        file: what the job reads; what it says lies beside it.
        job: submitit's.
        tries: how often it was submitted and got no further.
        read: bytes of what it says that are known.
    """

    cells: dict[str, Cell]
    file: Path
    job: Any
    tries: int = 1
    read: int = 0


def launch(
    graph: Graph, store: Path, settings: Settings, command: str, watch: Watch, request: Request | None = None
) -> None:
    """Run the stages of ``graph`` in jobs of SLURM; ``watch`` hears of each as it ends.

    Raises:
        UserError: submitit or SLURM is missing, SLURM refuses, or a job cannot run.
        StoreError: the store cannot be written.
    """
    run = _Run(graph, Store(store), settings, command, watch, request or Request())
    try:
        run.loop()
    finally:
        run.close()


class _Run:
    """The driver of one run."""

    def __init__(
        self, graph: Graph, store: Store, settings: Settings, command: str, watch: Watch, request: Request
    ) -> None:
        self._store, self._settings, self._command, self._watch = store, settings, command, watch
        self._request = request
        self._room = store.root.resolve() / FOLDER
        self._folder = self._room / uuid.uuid4().hex[:12]
        self._stages = {(stage.kind, stage.hash): stage for stage in graph.stages}
        self._left = dict(self._stages)
        """Stages that have not ended."""
        self._records = {stage.hash: stage.cell for stage in graph.stages if stage.kind == "scored"}
        self._hash = {(cell.row_key(), cell.replicate): hash for hash, cell in self._records.items()}
        self._slices: list[_Slice] = []
        self._graph = graph
        self._end_lock: Callable[[], None] | None = None
        """Ends the lock that says that this driver lives."""

    def loop(self) -> None:
        """Submit, and watch until every record is there."""
        end_jobs_of(self._store.root, self._room)
        self._room.mkdir(exist_ok=True)
        while self._end_lock is None:
            self._end_lock = locks.create(self._store.root, _lock_of(self._folder))
        self._folder.mkdir()
        self._submit([{self._of(cell): cell for cell in each} for each in slices(self._graph, self._request.jobs)])
        looked = time.monotonic()
        while any(each.cells for each in self._slices):
            time.sleep(POLL)
            for each in self._slices:
                self._hear(each)
            if time.monotonic() - looked >= QUEUE:
                looked = time.monotonic()
                self._look()

    def close(self) -> None:
        """End what is still at work, and forget what was said."""
        running = [each.job.job_id for each in self._slices if each.cells]
        cancel(running)
        if not running:
            parts.remove(self._folder)
        if self._end_lock is not None:
            self._end_lock()

    def _of(self, cell: Cell) -> str:
        return self._hash[cell.row_key(), cell.replicate]

    def _submit(self, lots: list[dict[str, Cell]], tries: int = 1) -> None:
        """Submit an array of slices, a job for each of ``lots``."""
        files = [self._folder / f"{len(self._slices) + n}-{uuid.uuid4().hex[:6]}.json" for n in range(len(lots))]
        for file, cells in zip(files, lots, strict=True):
            body = {
                "cells": [cell.model_dump_json() for cell in cells.values()],
                "victims": victims(cells.values()),
                "reason": ASKED,
                "settings": asdict(self._settings),
                "store": str(self._store.root.resolve()),
                "command": self._command,
            }
            disk.write_atomically(file, json.dumps(body))
        executor = self._executor()
        try:
            jobs = executor.map_array(run_slice, [str(file) for file in files])
        except Exception as error:  # submitit's own, whose names have changed before
            first = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise UserError(f"SLURM refuses the jobs: {first[:300]}", "Check partition, time and memory.") from error
        self._slices += [_Slice(cells, file, job, tries) for cells, file, job in zip(lots, files, jobs, strict=True)]
        disk.write_atomically(self._folder / JOBS, json.dumps([each.job.job_id for each in self._slices]))

    def _executor(self) -> Any:
        """Submitit's, with what a job asks for.

        Raises:
            UserError: submitit or SLURM is missing.
        """
        try:
            import submitit
        except ImportError:
            raise UserError(
                "submitit is not installed.", "In the folder of LockBench run: pip install -e '.[slurm]'"
            ) from None
        own, settings = self._request, self._settings
        try:
            executor = submitit.SlurmExecutor(folder=self._folder / "logs")
        except RuntimeError as error:
            raise UserError(f"SLURM is not there: {error}.", "Run it where sbatch and srun are.") from None
        parameters: dict[str, Any] = {
            "job_name": "lockbench",
            "time": own.minutes,
            "ntasks_per_node": 1,
            "cpus_per_task": settings.threads,
            "array_parallelism": own.jobs,
            "additional_parameters": dict(own.more),
        }
        if own.partition:
            parameters["partition"] = own.partition
        if own.gigabytes:
            parameters["mem"] = f"{round(own.gigabytes * 1e9 / 2**20)}M"
        if settings.device != "cpu":
            parameters["gpus_per_node"] = own.gpus
        executor.update_parameters(**parameters)
        return executor

    def _hear(self, each: _Slice) -> None:
        """Pass on what the job of a slice has written since."""
        file = each.file.with_suffix(".events")
        try:
            with file.open("rb") as opened:
                opened.seek(each.read)
                content = opened.read()
        except OSError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        each.read += len(whole)
        first = list(json.loads(each.file.read_text(encoding="utf-8"))["cells"]) if whole else []
        for line in whole.splitlines():
            self._pass_on(each, json.loads(line), first)

    def _pass_on(self, each: _Slice, event: dict[str, Any], cells: list[str]) -> None:
        kind = event.pop("event")
        if kind == "steps":
            self._watch.stage(Cell.model_validate_json(cells[event.pop("cell")]), **event)
        elif kind == "remark":
            self._watch.remark(event["text"])
        elif kind == "ended":
            self._end(self._stages.get((event["kind"], event["hash"])))
        elif kind == "refused":
            raise (StoreError if event["store"] else UserError)(event["message"], event["remedy"])
        elif kind == "done":
            self._done(each, event["hash"])

    def _end(self, stage: Stage | None) -> None:
        if stage is not None and self._left.pop((stage.kind, stage.hash), None) is not None:
            self._watch.stage_ended(stage)

    def _end_with(self, record: Record) -> None:
        """``record`` is there: so is, or has failed, everything that it reads."""
        own = self._stages[("scored", record.hash)]
        for kind, hash in (*own.inputs, ("scored", record.hash)):
            self._end(self._stages.get((kind, hash)))
        self._watch.done(record)

    def _done(self, each: _Slice, hash: str) -> None:
        """The record of that hash is there."""
        record = self._store.get(hash)
        if record is None or each.cells.pop(hash, None) is None:
            return
        each.tries = 1
        self._end_with(record)

    def _look(self) -> None:
        """Submit again what lost jobs left."""
        alive = queued([each.job.job_id for each in self._slices if each.cells])
        self._watch.nodes(len(set(filter(None, alive.values()))), sum(map(bool, alive.values())))
        for each in [each for each in self._slices if each.cells and each.job.job_id not in alive]:
            before = len(each.cells)
            self._hear(each)
            if not each.cells:
                continue
            left, each.cells = each.cells, {}
            tries = each.tries + 1 if len(left) == before else 1
            if tries > TRIES:
                self._give_up(left, f"the job of this cell was lost {TRIES} times; see {self._folder / 'logs'}")
                continue
            self._watch.remark(f"job {each.job.job_id} is lost: what it left is submitted again")
            self._submit([left], tries)

    def _give_up(self, cells: dict[str, Cell], error: str) -> None:
        """Let the cells of a slice stand as failed whose job is lost each time."""
        from bench.harness.cell import failed_record
        from bench.harness.failure import Failure

        for cell in cells.values():
            record = failed_record(cell, self._store, self._settings, self._command, Failure("failed", error))
            self._end_with(record)


def end_jobs_of(root: Path, room: Path) -> None:
    """End the jobs that drivers which were killed have left, and remove what those wrote into ``room``.

    A driver that lives, of another run on the store ``root``, keeps its jobs.
    """
    for folder in [each for each in room.glob("*") if each.is_dir()]:
        with locks.taken(root, _lock_of(folder)) as free:
            if not free:
                continue
            with contextlib.suppress(OSError, ValueError):
                cancel(map(str, json.loads((folder / JOBS).read_text(encoding="utf-8"))))
            parts.remove(folder)
            _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    """The lock beside the folder of a driver, which the driver has as long as it lives."""
    return folder.with_name(f"{folder.name}.lock")


def queued(jobs: Iterable[str]) -> dict[str, str]:
    """Of ``jobs``, as ``ARRAY_INDEX``, those that wait or run, each with the node that it runs on, or an empty text.

    Raises:
        UserError: SLURM does not answer.
    """
    wanted = set(jobs)
    if not wanted:
        return {}
    arrays = ",".join(sorted({job.partition("_")[0] for job in wanted}))
    query = ["squeue", "--noheader", "--array", f"--jobs={arrays}", "--format=%F_%K|%N"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"SLURM's queue does not answer: {error}.", "Run it again: what is done stays.") from None
    if answer.returncode != 0 and "Invalid job id" not in answer.stderr:
        raise UserError(f"SLURM's queue does not answer: {answer.stderr.strip()[:300]}", "Run it again.")
    rows = [line.strip().partition("|") for line in answer.stdout.splitlines() if line.strip()]
    found = {job.removesuffix("_N/A"): node for job, _, node in rows}  # a job alone is no array
    return {job: node for job, node in found.items() if job in wanted}


def cancel(jobs: Iterable[str]) -> None:
    """End ``jobs``, as far as SLURM does."""
    listed = list(jobs)
    if listed:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", *listed], capture_output=True, timeout=60, check=False)
