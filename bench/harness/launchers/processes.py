"""Cells in several processes, each with the same fixed number of threads; the store keeps them apart."""

from __future__ import annotations

import select
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.guests import child
from bench.guests.wire import Message, Wire, WireClosed
from bench.harness.watch import Watch
from bench.records import Cell, Record
from bench.store import identity
from bench.store.settings import Settings
from bench.store.store import Store

Artefact = tuple[str, str]
"""Kind and hash."""
POLL = 1.0
"""Seconds between looks at what the store has by now."""
TRIES = 2
"""How often a cell is tried whose worker dies."""


class Worker:
    """A process that runs cells."""

    def __init__(self) -> None:
        self.process, ours = child.start("bench.harness.launchers.worker")
        self.wire = Wire(ours)
        self.cell: int | None = None
        """Index of the cell at work."""

    def end(self) -> None:
        """End the process now."""
        self.wire.close()
        self.process.kill()
        self.process.wait()


class Workers:
    """Some processes that run cells, replaced when they die.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._all = [Worker()]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self, cells: Sequence[Cell], planned: Sequence[Cell], settings: Settings) -> None:
        """Ask the first worker what of a plan cannot run; the harness itself imports no torch for it.

        Args:
            cells: what is to do.
            planned: the whole plan.
            settings: how cells are computed.

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

    def fill(self) -> None:
        """Start the workers that are not there yet: after the first, so that it need not share the processor."""
        self._all += [Worker() for _ in range(self._jobs - len(self._all))]

    def close(self) -> None:
        """End all of them now."""
        for worker in self._all:
            worker.end()

    def free(self) -> Worker | None:
        """A worker without a cell, or None."""
        return next((worker for worker in self._all if worker.cell is None), None)

    def busy(self) -> list[Worker]:
        """The workers that have a cell."""
        return [worker for worker in self._all if worker.cell is not None]

    def replace(self, worker: Worker) -> None:
        """A new process in place of ``worker``."""
        worker.end()
        self._all[self._all.index(worker)] = Worker()

    def ready(self, seconds: float) -> list[Worker]:
        """The busy workers that have something to say, or have died, within ``seconds``."""
        busy = self.busy()
        found, _, _ = select.select([worker.wire.fileno() for worker in busy], [], [], seconds)
        return [worker for worker in busy if worker.wire.fileno() in found]


def launch(
    cells: Sequence[Cell],
    store: Path,
    settings: Settings,
    command: str,
    workers: Workers,
    watch: Watch,
) -> None:
    """Run ``cells`` in the processes ``workers``; ``watch`` hears of each record as it is ready.

    Cells that share a victim or lock wait for one another through the store's locks, so the order of work
    never decides a number; it is chosen so that they seldom have to. A cell whose worker dies is tried once more.

    Raises:
        UserError: what the user asked for cannot be done.
    """
    opened = Store(store, write=False)
    needs = [shared(cell, settings) for cell in cells]
    waiting, deaths = list(range(len(cells))), [0] * len(cells)
    workers.fill()
    while waiting or workers.busy():
        while (worker := workers.free()) is not None:
            at_work = [needs[w.cell] for w in workers.busy() if w.cell is not None]
            turn = first_free(waiting, needs, _in_work(opened, at_work))
            if turn is None:
                break
            waiting.remove(turn)
            worker.cell = turn
            body = {"cell": cells[turn].model_dump_json(), "store": str(store), "settings": asdict(settings)}
            with suppress(WireClosed):  # it has died already: `receive` finds out
                worker.wire.send("cell", {**body, "command": command})
        for worker in workers.ready(POLL):
            at = worker.cell
            assert at is not None
            try:
                answer = worker.wire.receive()
            except WireClosed:
                deaths[at] += 1
                code = worker.process.wait()
                workers.replace(worker)
                if deaths[at] < TRIES:
                    waiting.insert(0, at)
                else:
                    watch.done(_failure(cells[at], store, settings, command, code))
                continue
            if answer.kind == "stage":
                watch.stage(cells[at], **answer.body)
                continue
            record = answer.body.get("record")
            if answer.kind == "measured":
                answers = {name: np.array(values) for name, values in answer.body["answers"].items()}
                watch.measured(Record.model_validate_json(str(record)), answers)
                continue
            worker.cell = None
            if answer.kind == "refused":
                raise _refusal(answer)
            watch.done(Record.model_validate_json(str(record)))


def _refusal(answer: Message) -> UserError:
    return UserError(str(answer.body["message"]), str(answer.body["remedy"]))


def _in_work(store: Store, needs: Iterable[frozenset[Artefact]]) -> set[Artefact]:
    """What the cells at work share with others and the store lacks yet."""
    return {artefact for need in needs for artefact in need if not store.has(*artefact)}


def _failure(cell: Cell, store: Path, settings: Settings, command: str, code: int) -> Record:
    """A failed record of a cell whose worker has died each time."""
    from bench.harness.cell import failure

    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return failure(cell, Store(store), settings, command, f"the process of this cell died {TRIES} times ({how})")


def first_free(
    waiting: Sequence[int], needs: Sequence[frozenset[Artefact]], making: Collection[Artefact]
) -> int | None:
    """The first of ``waiting`` that needs nothing of what is being made; None where all would have to wait."""
    return next((i for i in waiting if needs[i].isdisjoint(making)), None)


def shared(cell: Cell, settings: Settings) -> frozenset[Artefact]:
    """What ``cell`` shares with others: its victim, its lock, the verdict on the lock.

    An attack that sees no model starts without them.
    """
    if cell.threat.access == "none":
        return frozenset()
    hashes = identity.of(cell, settings).hashes
    return frozenset((kind, hashes[kind]) for kind in ("victim", "protected", "judged"))
