"""What the ray launcher costs: milliseconds of a stage that does nothing, and the gain of 1, 2 and 4 one-core nodes.

``python tests/benchmarks/cluster.py`` starts the nodes on this machine and prints a table. Stages sleep in place of
computing; placing, packing, sending, unpacking and the store are the launcher's own. Sleeping stages scale with the
nodes on a machine with fewer cores too.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "helpers"), str(Path(__file__).resolve().parents[2])]

import clusters

from bench import plan
from bench.harness.launchers import ray as launcher
from bench.harness.launchers import ray_node
from bench.harness.watch import Watch
from bench.plan.graph import Graph, Stage
from bench.store import Store, packing
from bench.store.settings import Settings

WARM = 4.0
"""Seconds of the stages before those that are timed, one for each node: their workers start meanwhile."""
WEIGHTS = 1_000_000
"""Bytes of each artefact."""


def nap(
    work: ray_node.Work,
    at: int,
    kind: str,
    hash: str,
    cell: str,
    inputs: Sequence[tuple[str, str, Any]],
    failures: Sequence[Any],
    board: Any,
    node: str,
) -> dict[str, Any]:
    """A stage that fetches what it reads, sleeps for the seconds that its plan names, and returns an artefact."""
    import numpy as np
    import ray

    for _, _, reference in inputs:
        packing.unpack_files(memoryview(ray.get(reference)))
    time.sleep(WARM if kind == "protected" else float(work.command))
    out: dict[str, Any] = dict.fromkeys(("packed", "failure", "record", "evidence", "log", "refused"))
    packed = packing.pack_files({"weights": hash.encode() * (WEIGHTS // 20)})
    return {**out, "node": "", "packed": np.frombuffer(packed, np.uint8)}


def graph(count: int, nodes: int, name: str) -> Graph:
    """``count`` stages that each read one artefact, and start when a stage on each of the ``nodes`` has ended."""
    cell = plan.build([plan.SuiteLine(locks=["modellock"], attacks=["none"], tasks=["digits"], models=["cnn"])])[0].cell
    hashes = [hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:20] for i in range(nodes + count)]
    read = (("protected", hashes[0]),)
    stages = [Stage("protected", hash, cell, (), (), 1.0, 0.0) for hash in hashes[:nodes]]
    stages += [Stage("victim", hash, cell, tuple(range(nodes)), read, 1.0, 0.0) for hash in hashes[nodes:]]
    return Graph(stages, [(0,)] * len(stages))


def seconds(cluster: Any, count: int, sleep: float, name: str) -> float:
    """Wall seconds of ``count`` stages on the nodes of ``cluster``, once each has a worker."""
    ends: dict[str, float] = {}

    class Ends(Watch):
        def stage_ended(self, stage: Stage) -> None:
            ends[stage.kind] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "s"
        Store(root, entropy="plan")
        options = {"address": cluster.address, "share": False}
        stages = graph(count, len(cluster.worker_nodes), name)
        launcher.launch(stages, root, Settings(), str(sleep), Ends(), **options)
    return ends["victim"] - ends["protected"]


def bare(cluster: Any, count: int) -> float:
    """Wall seconds of ``count`` ray tasks that do nothing, one after another."""
    import ray

    ray.init(cluster.address, log_to_driver=False)
    try:
        task = ray.remote(num_cpus=1)(int)
        ray.get(task.remote())
        start = time.perf_counter()
        for _ in range(count):
            ray.get(task.remote())
        return time.perf_counter() - start
    finally:
        ray.shutdown()


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=40, help="that sleep")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds of each")
    parser.add_argument("--empty", type=int, default=200, help="stages that do nothing")
    options = parser.parse_args()
    ray_node.run = nap
    walls: dict[int, float] = {}
    with clusters.nodes(1) as cluster:
        own = bare(cluster, options.empty) / options.empty
        print(f"a task of ray alone, one node: {1000 * own:.1f} ms")
        empty = seconds(cluster, options.empty, 0.0, "empty") / options.empty
        print(f"overhead of a stage, one node: {1000 * empty:.1f} ms ({options.empty} stages, {WEIGHTS} bytes each)")
        for nodes in (1, 2, 4) if options.stages else ():
            while len(cluster.worker_nodes) < nodes:
                cluster.add_node(num_cpus=1, object_store_memory=clusters.MEMORY)
            cluster.wait_for_nodes()
            walls[nodes] = seconds(cluster, options.stages, options.sleep, f"naps on {nodes}")
            gain = walls[1] / walls[nodes]
            done = f"{options.stages} x {options.sleep} s"
            print(f"{nodes} one-core nodes: {walls[nodes]:.1f} s for {done}, {gain:.2f} of {nodes}")


if __name__ == "__main__":
    main()
