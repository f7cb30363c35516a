"""A plan on a store: what of it is done, and the run of the rest. The command line and `bench.run` are both this."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import plan
from bench.errors import UserError
from bench.harness.needs import lock_of, victims
from bench.harness.watch import Watch
from bench.plan import Planned
from bench.plan.graph import Graph
from bench.records import Cell, Record
from bench.store import Store, identity
from bench.store.locks import MARK
from bench.store.settings import PLAN, Settings

if TYPE_CHECKING:
    from bench.harness.launchers.processes import Workers

LAUNCHERS = ("local", "ray", "slurm")
NEEDS = {"ray": "ray", "slurm": "submitit"}
"""The package that a launcher needs: the extra has the launcher's name."""
NEWEST = 2000
"""Records of a store that times are estimated by."""
MOST_JOBS = 8
"""Processes that a run starts of its own accord."""


@dataclass(frozen=True)
class Where:
    """Which machines run the stages.

    Args:
        launcher: one of `LAUNCHERS`.
        address: of a ray cluster, ``auto`` or host and port; None: one of this machine alone, for this run.
        gpus: of each stage on a cluster, where it computes on a GPU; a fraction lets stages share one.
        slurm: options of ``sbatch`` by name: ``partition``, ``time`` (minutes), ``mem`` (10^9 bytes), and any other.
    """

    launcher: str = "local"
    address: str | None = None
    gpus: float = 1.0
    slurm: Mapping[str, str] = field(default_factory=dict)


HERE = Where()
"""This machine."""


def there(store: Path, entropy: str | None = None) -> Store | None:
    """The store at ``store``, to be read; None where there is none."""
    return Store(store, write=False, entropy=entropy) if (store / MARK).exists() else None


class Execution:
    """The cells of a plan, and which of them a store has. A context: its processes end with the block.

    Args:
        planned: the cells, in the order in which they are run.
        settings: how they are computed.
        store: of records and artefacts; None: there is none yet, and nothing is done.

    Attributes:
        cells: those of ``planned``.
        hashes: of each cell's record.
        done: for each cell, whether the store has a complete record of it.
        at_once: stages at once on this machine, once `prepare` knows.
    """

    def __init__(self, planned: Sequence[Planned], settings: Settings, store: Store | None) -> None:
        self.planned, self.settings, self.store = planned, settings, store
        self._workers: Workers | None = None
        self._victims: dict[str, bool] = {}
        self._where = HERE
        self._jobs: int | None = None
        self.at_once = 1
        self.cells = [item.cell for item in planned]
        self.hashes = [identity.of(cell, settings).record for cell in self.cells]
        known = {} if store is None else store.known(self.hashes)
        self.done = [h in known and known[h].complete for h in self.hashes]

    @classmethod
    def on(
        cls, planned: Sequence[Planned], settings: Settings, store: Path, entropy: str | None, writes: bool
    ) -> Execution:
        """The plan on the store at ``store``, with keys drawn from its entropy.

        Args:
            entropy: that the store shall have; None: its own.
            writes: whether the store is made where it is not there. Without, it is only read, where there is one.

        Raises:
            UserError: a store of another entropy, or none that can be read.
        """
        opened = Store(store, entropy=entropy) if writes else there(store, entropy)
        return cls(planned, replace(settings, entropy=PLAN if opened is None else opened.entropy), opened)

    @property
    def opened(self) -> Store:
        """The store.

        Raises:
            ValueError: there is none.
        """
        if self.store is None:
            raise ValueError("there is no store to run in")
        return self.store

    @property
    def todo(self) -> list[Cell]:
        """The cells that the store has no complete record of."""
        return [cell for cell, done in zip(self.cells, self.done, strict=True) if not done]

    @cached_property
    def graph(self) -> Graph:
        """The stages of what is to do. Once `check` or `prepare` has asked the locks, without victims nobody needs.

        Key conditions are made with the first record that needs them, after its RP is known. With ray they are a stage
        of their own: what a task makes beside its own artefact stays on its node.
        """
        graph = self._stages()
        return graph if self._where.launcher == "ray" else graph.folded("conditions")

    def _stages(self) -> Graph:
        todo = [item for item, done in zip(self.planned, self.done, strict=True) if not done]
        if self.store is None:
            return Graph.of(todo, self.settings)
        records = list(self.store.load(self.store.listing()[-NEWEST:])) if todo else []
        return Graph.of(todo, self.settings, self.store.has, records, lambda c: self._victims.get(lock_of(c), True))

    def check(self) -> None:
        """Whether what is to do can run, as far as that is known before it runs.

        Raises:
            UserError: it cannot.
        """
        plan.check(self.todo)
        plan.check_accepts(self.planned)
        self._victims = victims(self.todo)

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()

    def prepare(self, jobs: int | None = None, where: Where = HERE, cards: Sequence[int] = (0,)) -> None:
        """Make ready what `run` needs, and find out what cannot run. Before this nothing imports torch.

        Args:
            jobs: stages at once; None: as many as there is room for.
            where: which machines run them.
            cards: numbers of the GPUs over which stages are spread; without effect on a CPU.

        Raises:
            UserError: what is to do cannot run, or the store cannot be written.
        """
        from bench.guests import process as guests

        self._where, self._jobs = where, jobs
        self.opened.clean()
        self.opened.reuse([h for h, done in zip(self.hashes, self.done, strict=True) if done])
        if not self.todo:
            return
        self.at_once = jobs or usual_jobs(self.settings, len(self.todo), len(cards))
        cards = () if self.settings.device == "cpu" else tuple(cards)
        if where.launcher == "local" and (self.at_once > 1 or cards not in ((), (0,))):  # a process starts on its card
            from bench.harness.launchers import processes

            self._workers = processes.Workers(max(self.at_once, len(cards)), cards)
            self._victims = self._workers.check(self.todo, self.cells, self.settings)
        else:
            guests.start()  # `check` is the first to import torch
            self.check()

    def run(self, watch: Watch, command: str) -> None:
        """Run what is to do, once it is prepared; a cell that fails leaves a record, and the others go on.

        Args:
            watch: hears of everything.
            command: what a record names as its origin.

        Raises:
            UserError: data cannot be read, or the store cannot be written.
        """
        graph, root, where, jobs = self.graph, self.opened.root, self._where, self._jobs
        if not self.todo:
            return
        if where.launcher == "ray":
            from bench.harness.launchers import ray

            options: dict[str, Any] = {"address": where.address, "gpus": where.gpus, "jobs": jobs}
            ray.launch(graph, root, self.settings, command, watch, **options)
        elif where.launcher == "slurm":
            from bench.harness.launchers import slurm

            request = slurm.Request.of(where.slurm, jobs, where.gpus)
            slurm.launch(graph, root, self.settings, command, watch, request)
        elif self._workers is not None:
            from bench.harness.launchers import processes

            processes.launch(graph, root, self.settings, command, self._workers, watch)
        else:
            from bench.harness.launchers import inline

            inline.launch(graph, root, self.settings, command, watch)

    def records(self) -> list[Record]:
        """The records that the store has of the plan."""
        if self.store is None:
            return []
        known = self.store.known(self.hashes)
        return list(self.store.load([known[h] for h in self.hashes if h in known]))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual_jobs(settings: Settings, cells: int, cards: int = 1) -> int:
    """Stages at once where nobody says: one for each thread that a CPU has room for; one on each GPU."""
    if settings.device != "cpu":
        return cards
    return max(1, min(cores() // settings.threads, cells, MOST_JOBS))


def check_launcher(where: Where) -> None:
    """Whether there is such a launcher, what it needs is installed, and nothing is set that it does not read.

    Raises:
        UserError: it is not so.
    """
    launcher = where.launcher
    if launcher not in LAUNCHERS:
        raise UserError(f"no launcher '{launcher}'.", f"Use {', '.join(LAUNCHERS[:-1])} or {LAUNCHERS[-1]}.")
    for name, is_set, owners in (
        ("address", where.address is not None, ("ray",)),
        ("gpus-per-cell", where.gpus != Where.gpus, ("ray", "slurm")),
        ("slurm", bool(where.slurm), ("slurm",)),
    ):
        if is_set and launcher not in owners:
            raise UserError(
                f"--{name} does not go with --launcher {launcher}.", f"Use --launcher {' or '.join(owners)}."
            )
    needed = NEEDS.get(launcher)
    if needed is not None and find_spec(needed) is None:
        raise UserError(
            f"{needed} is not installed.", f"In the folder of LockBench run: pip install -e '.[{launcher}]'"
        )
