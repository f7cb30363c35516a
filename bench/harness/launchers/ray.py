"""Stages as tasks of a ray cluster (extra ``lockbench[ray]``); nodes need no shared folder.

The driver puts what stages read into ray's object store, and what they make into its own store. It alone writes
records, so a driver that was killed goes on. Nodes that see the driver's store read and write artefacts there.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.harness.launchers import ray_cluster, ray_node
from bench.harness.launchers.plugin_bundle import Bundle
from bench.harness.launchers.processes import fail, listed
from bench.harness.launchers.ray_cluster import Cluster
from bench.harness.schedule import Schedule
from bench.harness.watch import Watch
from bench.plan.graph import Graph
from bench.records import Record
from bench.store import packing, parts
from bench.store.disk import StoreError
from bench.store.reading import arrays
from bench.store.settings import Settings
from bench.store.store import Store

log = logging.getLogger(__name__)

RETRIES = 3
"""How often ray starts a stage again whose worker or node is lost."""
TRIES = 2
"""How often a stage is tried whose result is lost on its way."""
KNOCK = 10.0
"""Seconds in which a cluster's head must answer."""
POLL = 0.3
"""Seconds between looks at what stages say."""


def launch(
    graph: Graph,
    store: Path,
    settings: Settings,
    command: str,
    watch: Watch,
    *,
    address: str | None = None,
    gpus: float = 1.0,
    jobs: int | None = None,
    share: bool = True,
) -> None:
    """Run the stages of ``graph`` wherever ray puts them; ``watch`` hears of each as it ends.

    Args:
        address: ``auto``, or host and port of a cluster's head; None: a cluster of this machine alone, for this run.
        gpus: of each stage, where it computes on a GPU; a fraction lets stages share one.
        jobs: stages at once on this machine, where there is no ``address``.
        share: False keeps nodes out of the driver's store even where they see it.

    Raises:
        UserError: ray is missing, no cluster answers, a node is of another version, or what a stage needs is not there.
        StoreError: a disk is full, or refuses.
    """
    opened = Store(store)
    cpus = jobs * settings.threads if address is None and jobs else None
    with contextlib.ExitStack() as stack:
        part = stack.enter_context(parts.new(opened.root))
        work = _work(opened, part, settings, command, share)
        connection = stack.enter_context(contextlib.ExitStack())
        connection.enter_context(_connected(address, cpus))
        needs = settings.threads, gpus if settings.device != "cpu" else 0.0
        cluster = ray_cluster.examine(work, *needs)
        if cluster.lacking:
            watch.remark(f"LockBench is sent to {cluster.lacking} of {len(cluster.names)} nodes, which have none")
            connection.close()  # ray takes code to send only where a driver connects
            connection.enter_context(_connected(address, cpus, ray_cluster.code()))
            cluster = ray_cluster.examine(work, *needs)
        for remark in cluster.remarks:
            watch.remark(remark)
        run = _Run(graph, opened, settings, command, watch, work, cluster)
        try:
            run.loop()
        finally:
            run.close()


def _work(store: Store, part: Path, settings: Settings, command: str, share: bool) -> ray_node.Work:
    """What the stages have in common; the token by which nodes know the store is written to its ``part``."""
    token = secrets.token_hex(16)
    (part / "token").write_text(token, encoding="utf-8")
    return ray_node.Work(
        run=token[:12],
        store=str(store.root.resolve()),
        token_file=str((part / "token").resolve()),
        token=token if share else "",
        settings={**asdict(settings), "plugin_files": ()},
        command=command,
        plugins=Bundle.of(settings.plugin_files),
        folder=str(Path.cwd()),
    )


class _Run:
    """The driver of one run."""

    def __init__(
        self,
        graph: Graph,
        store: Store,
        settings: Settings,
        command: str,
        watch: Watch,
        work: ray_node.Work,
        cluster: Cluster,
    ) -> None:
        import ray

        self._graph, self._store, self._settings, self._command, self._watch = graph, store, settings, command, watch
        self._cluster, self._run = cluster, work.run
        self._work = ray.put(work)
        self._schedule = Schedule(graph)
        self._lost = [0] * len(graph)
        self._readers = Counter(artefact for stage in graph.stages for artefact in stage.inputs)
        self._sent: dict[tuple[str, str], Any] = {}
        """References to what waiting stages read."""
        self._at_work: dict[Any, int] = {}
        """Position of the stage by the reference to its result."""
        self._task = ray.remote(max_retries=RETRIES, **cluster.resources)(ray_node.run)
        board = ray.remote(num_cpus=0)(ray_node.Board)
        self._board = board.options(scheduling_strategy=ray_cluster.here()).remote()
        self._hearing, self._next = self._board.hear.remote(), 0.0

    def loop(self) -> None:
        """Run everything."""
        import ray

        while not self._schedule.finished:
            self._look()
            free = self._cluster.slots + self._cluster.ahead - len(self._at_work)
            for at in self._schedule.ready()[: max(0, free)]:
                self._start(at)
            ready, _ = ray.wait(list(self._at_work), num_returns=1, timeout=POLL, fetch_local=False)
            for result in ready:
                self._end(self._at_work.pop(result), result)
            self._hear()

    def close(self) -> None:
        """Cancel what is at work, and let nodes forget the run."""
        import ray

        with contextlib.suppress(Exception):
            for result in self._at_work:
                ray.cancel(result, force=True)
            ray.kill(self._board)
            self._cluster.forget(self._run)

    def _look(self) -> None:
        """Notice nodes that came or went, a few times a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + POLL
        for remark in self._cluster.look():
            self._watch.remark(remark)
        self._watch.nodes(len(self._cluster.names), len(self._at_work))

    def _start(self, at: int) -> None:
        stage = self._schedule.start(at)
        inputs = [(kind, hash, self._reference(kind, hash)) for kind, hash in stage.inputs]
        memory = self._cluster.memory(stage.gigabytes)
        result = self._task.options(name=stage.kind, memory=memory).remote(
            self._work,
            at,
            stage.kind,
            stage.hash,
            stage.cell.model_dump_json(),
            inputs,
            listed(self._schedule, at),
            self._board,
        )
        self._at_work[result] = at

    def _reference(self, kind: str, hash: str) -> Any:
        """A reference to the artefact's bytes, made once; None where nobody fetches it, or there is none."""
        import numpy as np
        import ray

        if self._cluster.all_share or not self._store.has(kind, hash):
            return None
        if (kind, hash) not in self._sent:
            try:
                packed = packing.pack(self._store.artefact(kind, hash))
            except packing.BadPack as problem:  # who reads it makes it
                place = self._store.set_aside(self._store.artefact(kind, hash))
                log.warning("The artefact %s %s is damaged (%s): set aside as %s.", kind, hash[:10], problem, place)
                return None
            self._sent[kind, hash] = ray.put(np.frombuffer(packed, np.uint8))
        return self._sent[kind, hash]

    def _end(self, at: int, result: Any) -> None:
        """The stage ``at`` has come to an end, or its worker to its own."""
        import ray
        from ray import exceptions

        lost = (exceptions.ObjectLostError, exceptions.OwnerDiedError, exceptions.ObjectFetchTimedOutError)
        try:
            out = ray.get(result)
            if out["packed"] is not None:
                stage = self._graph.stages[at]
                packing.add(self._store, stage.kind, stage.hash, memoryview(out["packed"]))
        except (*lost, packing.BadPack) as error:
            self._lost[at] += 1
            if self._lost[at] < TRIES:
                self._schedule.again(at)
                return
            self._fail(at, f"the result of this stage was lost {TRIES} times ({_first_line(error)})")
        except exceptions.RayTaskError:
            raise
        except exceptions.RayError as error:
            self._fail(at, f"the worker of this stage was lost {RETRIES + 1} times ({_first_line(error)})")
        else:
            self._ended(at, out)

    def _ended(self, at: int, out: dict[str, Any]) -> None:
        if out["refused"] is not None:
            kind = StoreError if out["refused"]["store"] else UserError
            message = self._cluster.named(out["refused"]["message"])
            raise kind(message, out["refused"]["remedy"])
        record = None if out["record"] is None else Record.model_validate_json(out["record"])
        if record is not None:
            self._store.put(record, arrays(out["evidence"]), out["log"])
        failure = out["failure"]
        done = self._schedule.done(at) if failure is None else self._schedule.failed(at, failure)
        for ended in done:
            self._let_go(ended)
            self._watch.stage_ended(self._graph.stages[ended])
        if record is not None:
            self._watch.done(record)

    def _fail(self, at: int, error: str) -> None:
        before = set(self._schedule.left)
        fail(self._schedule, at, error, self._store, self._settings, self._command, self._watch)
        for ended in before.difference(self._schedule.left):
            self._let_go(ended)

    def _let_go(self, at: int) -> None:
        """Let ray drop what no stage reads any more."""
        for artefact in self._graph.stages[at].inputs:
            self._readers[artefact] -= 1
            if self._readers[artefact] == 0:
                self._sent.pop(artefact, None)

    def _hear(self) -> None:
        """Pass on what stages have said since."""
        import ray

        ready, _ = ray.wait([self._hearing], timeout=0)
        if not ready:
            return
        at_work = set(self._at_work.values())
        for at, kind, body in ray.get(self._hearing):
            if at not in at_work:
                continue
            stage = self._graph.stages[at]
            if kind == "measured":
                self._watch.measured(Record.model_validate_json(body["record"]), body["answers"])
            elif kind == "remark":
                self._watch.remark(f"{body['text']}, on {self._cluster.named(body['node'])}")
            elif kind == "steps":
                where = self._cluster.named(body["node"])
                what = f"{body['what']} on {where}"
                self._watch.stage(stage.cell, body["name"], body["done"], body["total"], what)
            else:
                self._watch.stage(stage.cell, stage.kind, 0, 0, f"on {self._cluster.named(body['node'])}")
        self._hearing = self._board.hear.remote()


@contextlib.contextmanager
def _connected(address: str | None, cpus: int | None, environment: dict[str, Any] | None = None) -> Iterator[None]:
    """While this process is connected to a cluster; one that a caller has connected to stays so.

    Args:
        address: None: a cluster of this machine alone.
        cpus: of that one; None: all.
        environment: ray's ``runtime_env``.
    """
    try:
        import ray
    except ImportError:
        raise UserError("ray is not installed.", "In the folder of LockBench run: pip install -e '.[ray]'") from None
    if ray.is_initialized():
        if environment is not None:
            raise UserError(
                "a node has no LockBench, and ray is connected already.", "Connect after, or install it there."
            )
        yield
        return
    own: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if address is None else {}
    try:
        _knock(address)
        with _own_signals(), _quiet():
            ray.init(
                address or "local", log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment, **own
            )
    except (OSError, ValueError, RuntimeError) as error:
        remedy = "Start one: ray start --head; then name it: --address auto or --address HOST:PORT"
        raise UserError(f"no ray cluster answers at {address or 'local'}: {_first_line(error)}", remedy) from None
    try:
        yield
    finally:
        with _own_signals():
            ray.shutdown()


def _knock(address: str | None) -> None:
    """Whether somebody listens at ``address``: ray itself would try for minutes.

    Raises:
        OSError: nobody does.
        ValueError: it has no port.
    """
    if address is None or address in ("auto", "local") or "://" in address:
        return
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK):
        pass


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Let signals end this process as before the block, whatever the block makes of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let a driver that connects in the block print no pages about nodes that die: the watch hears of them.

    Ray has no option for it. Where a version has no such function, nothing changes.
    """
    from ray._private import worker

    name = "listen_error_messages"
    listen = getattr(worker, name, None)
    setattr(worker, name, lambda *_: None)
    try:
        yield
    finally:
        if listen is not None:
            setattr(worker, name, listen)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
