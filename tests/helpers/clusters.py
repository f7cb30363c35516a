"""Several ray nodes on one machine, and runs of the small suite on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import small_suite
from places import PLUGINS

from bench import plan
from bench.api import request
from bench.api.execution import Execution
from bench.harness.launchers import inline
from bench.harness.launchers import ray as launcher
from bench.harness.watch import Watch
from bench.records import Record
from bench.store import Store, local
from bench.store.settings import Settings

FAST = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 6,
}
"""Ray's settings with which a dead node is noticed within seconds."""
MEMORY = 80 * 2**20
"""Bytes of each node's object store: ray takes no less."""


@contextmanager
def nodes(count: int, cpus: int = 1) -> Iterator[Any]:
    """A cluster of a head without processors, where the driver is, and ``count`` nodes."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # workers wait for no other test
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": MEMORY,
            "_system_config": FAST,
            "include_dashboard": False,
        },
    )
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def folders(cluster: Any) -> list[Path]:
    """What the nodes of ``cluster`` keep of runs on this machine."""
    names = [node.node_id[:12] for node in cluster.list_all_nodes()]
    return [folder for name in names for folder in local.folder().glob(f"node-{name}-*")]


def slow_suite(task: str, folder: Path, attacks: int = 3, seconds: float = 1.0) -> tuple[Path, Path]:
    """A suite of one lock that takes ``seconds``, and attacks that take one each; and where they note what they do.

    Args:
        task: of small pictures.
    """
    folder.mkdir()
    file, notes = folder / "slow.toml", folder / "notes"
    notes.mkdir()
    file.write_text(
        f"""[[row]]
locks = ["slow-lock"]
attacks = ["slow-attack"]
tasks = ["{task}"]
models = ["tiny"]
controls = false
params = {{ "task.size" = 16, "lock.seconds" = {seconds}, "lock.notes" = "{notes}", "attack.notes" = "{notes}" }}
sweep = {{ "attack.variant" = {list(range(attacks))} }}
"""
    )
    return file, notes


TIMES = ("seconds", "peak_memory_mb", "key_ms_per_image")
"""Fields of a record that no two runs share."""
SLOW = (*small_suite.FILES, PLUGINS / "slow_lock.py", PLUGINS / "slow_attack.py")
"""The plugin files of the slow suite."""


def execution(suite: Path, store: Path, files: tuple[Path, ...] = tuple(small_suite.FILES)) -> Execution:
    """The suite in a store with the same keys as every other."""
    known, _ = request.plugins(files, str(suite))
    planned = plan.build(request.lines_of(dict.fromkeys(("locks", "attacks", "tasks", "models")), None, str(suite), []))
    return Execution(planned, Settings(plugin_files=known), Store(store, entropy="plan"))


def run_here(execution: Execution) -> Execution:
    """A run in this process."""
    execution.check()
    inline.launch(execution.graph, execution.opened.root, execution.settings, "", Watch())
    return execution


def run_on(cluster: Any, execution: Execution, watch: Watch | None = None, **options: Any) -> dict[str, Record]:
    """The records of a run on a cluster, by hash."""
    execution.check()
    root = execution.opened.root
    launcher.launch(execution.graph, root, execution.settings, "", watch or Watch(), address=cluster.address, **options)
    return by_hash(execution)


def by_hash(execution: Execution) -> dict[str, Record]:
    """What the store has of the plan, by hash."""
    return {record.hash: record for record in execution.records()}


def comparable(record: Record) -> dict[str, Any]:
    """``record`` without what may differ between two runs: times, memory, machine, command."""
    value: dict[str, Any] = _timeless(record.model_dump(mode="json"))
    for name in ("machine", "command", "created", "reused"):
        value["provenance"].pop(name, None)
    return value


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if name not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def same(one: Execution, other: Execution) -> None:
    """Whether two runs measured the same, evidence for evidence."""
    here, there = by_hash(one), by_hash(other)
    assert here.keys() == there.keys()
    for hash, record in here.items():
        assert comparable(record) == comparable(there[hash])
        own, copy = one.opened.evidence(record), other.opened.evidence(there[hash])
        assert own.keys() == copy.keys()
        for name in own:
            np.testing.assert_array_equal(own[name], copy[name])


def raylet_of(pid: int) -> int | None:
    """The raylet under which the process ``pid`` runs; None: under none."""
    try:
        for parent in [psutil.Process(pid), *psutil.Process(pid).parents()]:
            if parent.name() == "raylet":
                return parent.pid
    except psutil.Error:
        return None
    return None


def kill(cluster: Any, raylet: int) -> None:
    """SIGKILL the node of the process ``raylet``, workers and all."""
    node = next(n for n in cluster.worker_nodes if any(_pid(p) == raylet for p in n.all_processes["raylet"]))
    cluster.remove_node(node, allow_graceful=False)


def _pid(info: Any) -> int:
    return int(info.process.pid)


def at_work(notes: Path, what: str) -> int | None:
    """A living process that has noted ``what``."""
    for file in sorted(notes.glob(f"{what}-*")):
        pid = int(file.name.rpartition("-")[2])
        if psutil.pid_exists(pid):
            return pid
    return None
