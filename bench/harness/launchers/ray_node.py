"""What a node of a ray cluster does: one stage, in the driver's store where it sees it, else in a store of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.harness.launchers import ray_probe
from bench.harness.launchers.plugin_bundle import Bundle
from bench.harness.launchers.report import Pace, early_answers
from bench.harness.watch import Evidence, Watch
from bench.records import Cell, Record
from bench.store import disk, identity, local, packing, parts
from bench.store.settings import Settings
from bench.store.store import Store

FORGOTTEN = 6 * 3600.0
"""Seconds after which the store of a run that left it behind is removed from its node."""
IN_USE = "in-use"
"""A file in what a run keeps on a node: each of its processes there has a lock on it."""
PATIENCE = 60.0
"""Seconds in which what another machine wrote must appear on a shared disk."""


@dataclass(frozen=True)
class Work:
    """What the stages of a run have in common.

    Args:
        run: names the run.
        store: the driver's.
        token_file: a file in it that holds ``token``; who can read it works in the store itself.
        token: random; empty: nobody works in the driver's store.
        settings: as JSON.
        command: of the driver.
        plugins: the plugin files.
        folder: in which the driver was started.
    """

    run: str
    store: str
    token_file: str
    token: str
    settings: Mapping[str, Any]
    command: str
    plugins: Bundle
    folder: str


class Board:
    """What stages say while they run, kept until the driver asks for it: an actor."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, str, dict[str, Any]]] = []

    def say(self, at: int, kind: str, body: dict[str, Any]) -> None:
        """Keep a message of the stage ``at``."""
        self._messages.append((at, kind, body))

    def hear(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Position of the stage, kind and body of each message since the last call."""
        messages, self._messages = self._messages, []
        return messages


class BoardWatch(Watch):
    """Sends what happens to the board, and of the steps of a stage a few a second."""

    def __init__(self, board: Any, at: int, node: str) -> None:
        self._board, self._at, self._node, self._pace = board, at, node, Pace()

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """Send how far the stage is."""
        if self._pace.is_due():
            body = {"name": name, "done": done, "total": total, "what": what, "node": self._node}
            self._board.say.remote(self._at, "steps", body)

    def remark(self, text: str) -> None:
        """Send it."""
        self._board.say.remote(self._at, "remark", {"text": text, "node": self._node})

    def measured(self, record: Record, evidence: Evidence) -> None:
        """Send what is measured so far."""
        answers = early_answers(evidence)
        if answers is not None:
            self._board.say.remote(self._at, "measured", {"record": record.model_dump_json(), "answers": answers})


def run(
    work: Work,
    at: int,
    kind: str,
    hash: str,
    cell: str,
    inputs: Sequence[tuple[str, str, Any]],
    failures: Sequence[tuple[str, str, Mapping[str, Any]]],
    board: Any,
) -> dict[str, Any]:
    """Run one stage; never raises for what a user can mend.

    Args:
        at: its position in the driver's graph.
        kind: one of `bench.plan.graph.KINDS`.
        hash: what the driver knows it by.
        cell: as JSON.
        inputs: kind and hash of each artefact that it reads, with a reference to its bytes.
        failures: kind, hash and `bench.harness.failure.Failure` as JSON of each stage that is not tried again.
        board: of the driver.

    Returns:
        ``packed``: the artefact, None where it lies in the driver's store; ``failure``: why there is none;
        ``record``, ``evidence``, ``log``: where ``kind`` is ``scored``; ``refused``: what a user must mend.
    """
    node = _node_id()
    board.say.remote(at, "started", {"node": node})
    out: dict[str, Any] = dict.fromkeys(("packed", "failure", "record", "evidence", "log", "refused"))
    try:
        out |= _run(work, kind, hash, Cell.model_validate_json(cell), inputs, failures, BoardWatch(board, at, node))
    except UserError as error:
        is_disk = isinstance(error, disk.StoreError)
        out["refused"] = {"store": is_disk, "message": f"on the node {node}: {error.message}", "remedy": error.remedy}
    return out


def forget(run: str) -> None:
    """Remove what the run ``run`` keeps on this node."""
    parts.remove(_folder(run))


_contexts: dict[str, tuple[Any, bool]] = {}
"""The context of a run, and whether it works in the driver's store."""


def _run(
    work: Work,
    kind: str,
    hash: str,
    cell: Cell,
    inputs: Sequence[tuple[str, str, Any]],
    failures: Sequence[tuple[str, str, Mapping[str, Any]]],
    watch: Watch,
) -> dict[str, Any]:
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench import fetching
    from bench.harness.cell import measure
    from bench.harness.failure import Failure
    from bench.harness.stage_run import run_stage

    context, is_shared = _context(work)
    context.watch = watch
    context.failures = {(of, own): Failure.from_json(value) for of, own, value in failures}
    _check(kind, hash, cell, context.settings)
    store: Store = context.store
    if is_shared:
        _wait(store, [(of, own) for of, own, _ in inputs])
    else:
        _fetch(store, inputs)
    if kind == "scored":
        with fetching.heard(watch.remark):
            record, evidence, log = measure(cell, context)
        return {"record": record.model_dump_json(), "evidence": _packed(evidence), "log": log}
    failure = run_stage(kind, cell, context)
    if failure is not None:
        assert isinstance(failure, Failure)
        return {"failure": failure.to_json()}
    if is_shared:
        return {}
    import numpy as np

    return {"packed": np.frombuffer(packing.pack(store.artefact(kind, hash)), np.uint8)}


def _context(work: Work) -> tuple[Any, bool]:
    """The context of the run in this process: made once, so that what a stage has read serves the next one too."""
    from bench import session
    from bench.harness.context import Context

    if work.run not in _contexts:
        with contextlib.suppress(OSError):
            os.chdir(work.folder)
        folder = _folder(work.run)
        _claim(folder)
        files = work.plugins.write(folder / "plugins")
        settings = Settings(**{**work.settings, "plugin_files": files})
        is_shared = bool(work.token) and ray_probe.holds(work.token_file, work.token)
        root = Path(work.store) if is_shared else folder / "store"
        _sweep()
        context = Context(Store(root, entropy=settings.entropy), settings, None, work.command)
        if is_shared:  # machines do not share a database
            session.current.cache = folder / "edits.sqlite"
        _contexts[work.run] = (context, is_shared)
    return _contexts[work.run]


def _check(kind: str, hash: str, cell: Cell, settings: Settings) -> None:
    """Whether this node would make the very stage that the driver asks for.

    Raises:
        UserError: its code, libraries, data or files differ.
    """
    own = identity.of(cell, settings)
    if hash != (own.record if kind == "scored" else own.hashes[kind]):
        raise UserError(
            f"the {kind} of {cell.lock.name} is another one here: code, libraries, data or a named file differ.",
            "Put the same on every node, and run again: what is done stays.",
        )


def _fetch(store: Store, inputs: Sequence[tuple[str, str, Any]]) -> None:
    """Put into ``store`` what it lacks of ``inputs``."""
    import ray

    for kind, hash, reference in inputs:
        if reference is not None and not store.has(kind, hash):
            packing.add(store, kind, hash, memoryview(ray.get(reference)))


def _wait(store: Store, inputs: Sequence[tuple[str, str]]) -> None:
    """Wait until this machine sees what others wrote: network file systems show it late."""
    deadline = time.monotonic() + PATIENCE
    for kind, hash in inputs:
        while not store.has(kind, hash) and time.monotonic() < deadline:
            store.entries(f"artefacts/{kind}")
            time.sleep(0.1)


def _packed(evidence: Evidence) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values) for name, values in evidence.items()})


def _folder(run: str) -> Path:
    return local.folder() / f"node-{_node_id()[:12]}-{run}"


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


_claims: list[int] = []
"""Descriptors of the locks that this process has on what its runs keep here."""


def _claim(folder: Path) -> None:
    """From now on, and as long as this process lives, no sweep removes ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    _claims.append(os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT, 0o644))
    fcntl.flock(_claims[-1], fcntl.LOCK_SH)


def _sweep() -> None:
    """Remove what runs that were killed left on this node long ago; with a shared store there is no other."""
    for folder in local.folder().glob("node-*"):
        own = folder / "store"
        with contextlib.suppress(OSError, UserError):
            if time.time() - (own / "tmp" if own.exists() else folder).stat().st_mtime > FORGOTTEN:
                with (folder / IN_USE).open("w") as opened:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: a run is at work there
                    with parts.alone(own) if own.exists() else contextlib.nullcontext():
                        parts.remove(folder)
