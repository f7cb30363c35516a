"""Stages in several processes, each with the same fixed number of threads, on one or several cards."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.guests import child
from bench.guests.wire import Message, Wire, WireClosed
from bench.harness.place import Place, places
from bench.harness.schedule import Schedule
from bench.harness.watch import Watch
from bench.plan.graph import Graph, Stage
from bench.records import Cell, Record
from bench.store.settings import Settings
from bench.store.store import Store

POLL = 1.0
"""Seconds between looks at what is ready."""
TRIES = 2
"""How often a stage is tried whose worker dies."""


class Worker:
    """A process that runs stages.

    Args:
        place: where it computes.
    """

    def __init__(self, place: Place) -> None:
        card = {} if place.card is None else {"CUDA_VISIBLE_DEVICES": place.card}
        self.process, ours = child.start("bench.harness.launchers.worker", environment={**os.environ, **card})
        self.wire = Wire(ours)
        self.place = place
        self.stage: int | None = None
        """Position in the graph of the stage at work, or None."""
        self._gigabytes = 0.0

    def take(self, at: int, gigabytes: float) -> None:
        """The stage ``at`` is at work here, and takes ``gigabytes``."""
        self.stage, self._gigabytes = at, gigabytes
        self.place.at_work.append(gigabytes)

    @property
    def at_work(self) -> int:
        """Position of the stage at work."""
        assert self.stage is not None
        return self.stage

    def leave(self) -> None:
        """The stage is no longer at work here."""
        self.stage = None
        self.place.at_work.remove(self._gigabytes)

    def end(self) -> None:
        """End the process now."""
        self.wire.close()
        self.process.kill()
        self.process.wait()


class Workers:
    """Some processes that run stages, replaced when they die.

    Args:
        jobs: how many.
        cards: numbers of the GPUs over which they are spread; none: they compute on the processors.
    """

    def __init__(self, jobs: int, cards: Sequence[int] = ()) -> None:
        self._jobs = jobs
        self._places = places(cards)
        self._all = [Worker(self._places[0])]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self, cells: Sequence[Cell], planned: Sequence[Cell], settings: Settings) -> dict[str, bool]:
        """Ask the first worker what of a plan cannot run; the harness itself imports no torch for it.

        Args:
            cells: what is to do.
            planned: the whole plan.
            settings: how cells are computed.

        Returns:
            Whether each lock of ``cells`` needs the unprotected model, as `bench.harness.needs.victims` has it.

        Raises:
            UserError: something cannot.
        """
        first = self._all[0]
        body = {
            "cells": [cell.model_dump_json() for cell in cells],
            "planned": [cell.model_dump_json() for cell in planned],
            "settings": asdict(settings),
        }
        try:
            first.wire.send("check", body)
            answer = first.wire.receive()
        except WireClosed:
            raise UserError(
                f"the process that checks the plan died (exit status {first.process.wait()}).", "Run it again."
            ) from None
        if answer.kind == "refused":
            raise _refusal(answer)
        return {str(lock): bool(needs) for lock, needs in answer.body["victims"].items()}

    def close(self) -> None:
        """End all of them now."""
        for worker in self._all:
            worker.end()

    def free(self, gigabytes: float) -> Worker | None:
        """A worker without a stage where ``gigabytes`` fit, on the place with the least at work; None: there is none.

        A process starts when it is first needed: those of a small plan are few, and the first has the processor alone.

        Args:
            gigabytes: 10^9 bytes.
        """
        idle = [worker for worker in self._all if worker.stage is None and worker.place.fits(gigabytes)]
        if idle:
            return min(idle, key=lambda worker: sum(worker.place.at_work))
        emptiest = min(self._places, key=lambda place: sum(worker.place is place for worker in self._all))
        if len(self._all) == self._jobs or not emptiest.fits(gigabytes):
            return None
        self._all.append(Worker(emptiest))
        return self._all[-1]

    def busy(self) -> list[Worker]:
        """The workers that have a stage."""
        return [worker for worker in self._all if worker.stage is not None]

    def replace(self, worker: Worker) -> None:
        """A new process in place of ``worker``."""
        worker.end()
        self._all[self._all.index(worker)] = Worker(worker.place)

    def ready(self, seconds: float) -> list[Worker]:
        """The busy workers that have something to say, or have died, within ``seconds``."""
        busy = self.busy()
        found, _, _ = select.select([worker.wire.fileno() for worker in busy], [], [], seconds)
        return [worker for worker in busy if worker.wire.fileno() in found]


def launch(graph: Graph, store: Path, settings: Settings, command: str, workers: Workers, watch: Watch) -> None:
    """Run the stages of ``graph`` in the processes ``workers``; ``watch`` hears of each as it ends.

    Which worker makes a stage, and when, never decides a number. A stage whose worker dies is tried once more.

    Raises:
        UserError: what the user asked for cannot be done.
    """
    schedule, deaths = Schedule(graph), [0] * len(graph)
    common = {"store": str(store), "settings": asdict(settings), "command": command}
    while not schedule.finished:
        for at in schedule.ready():
            worker = workers.free(graph.stages[at].gigabytes)
            if worker is None:
                break
            stage = schedule.start(at)
            worker.take(at, stage.gigabytes)
            body = {"kind": stage.kind, "cell": stage.cell.model_dump_json(), "failures": listed(schedule, at)}
            with suppress(WireClosed):  # it has died already: `receive` finds out
                worker.wire.send("stage", {**body, **common})
        for worker in workers.ready(POLL):
            at = worker.at_work
            stage = graph.stages[at]
            try:
                answer = worker.wire.receive()
            except WireClosed:
                deaths[at] += 1
                code = worker.process.wait()
                worker.leave()
                workers.replace(worker)
                if deaths[at] < TRIES:
                    schedule.again(at)
                else:
                    fail(schedule, at, _death(code), Store(store), settings, command, watch)
                continue
            if answer.kind in ("steps", "measured", "remark"):
                _tell(stage, answer, watch)
                continue
            worker.leave()
            if answer.kind == "refused":
                raise _refusal(answer)
            failure, record = answer.body["failure"], answer.body["record"]
            for ended in schedule.done(at) if failure is None else schedule.failed(at, failure):
                watch.stage_ended(graph.stages[ended])
            if record is not None:
                watch.done(Record.model_validate_json(str(record)))


def listed(schedule: Schedule, at: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, hash and failure of what the stage ``at`` reads and cannot have."""
    return [(kind, hash, value) for (kind, hash), value in schedule.failures(at).items()]


def _tell(stage: Stage, answer: Message, watch: Watch) -> None:
    """Pass on what a stage at work says."""
    if answer.kind == "steps":
        watch.stage(stage.cell, **answer.body)
        return
    if answer.kind == "remark":
        watch.remark(str(answer.body["text"]))
        return
    answers = {name: np.array(values) for name, values in answer.body["answers"].items()}
    watch.measured(Record.model_validate_json(str(answer.body["record"])), answers)


def _death(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return f"the process of this stage died {TRIES} times ({how})"


def fail(schedule: Schedule, at: int, error: str, store: Store, settings: Settings, command: str, watch: Watch) -> None:
    """Let the stage ``at`` stand as failed, whose process died each time; where it is a record, write it."""
    from bench.harness.cell import failed_record
    from bench.harness.failure import Failure

    stage, failure = schedule.graph.stages[at], Failure("failed", error)
    if stage.kind != "scored":
        for ended in schedule.failed(at, failure.to_json()):
            watch.stage_ended(schedule.graph.stages[ended])
        return
    record = failed_record(stage.cell, store, settings, command, failure)
    for ended in schedule.done(at):
        watch.stage_ended(schedule.graph.stages[ended])
    watch.done(record)


def _refusal(answer: Message) -> UserError:
    return UserError(str(answer.body["message"]), str(answer.body["remedy"]))
