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
    time.sleep(float(work.command))
    out: dict[str, Any] = dict.fromkeys(("packed", "failure", "record", "evidence", "log", "refused"))
    packed = packing.pack_files({"weights": hash.encode() * (WEIGHTS // 20)})
    return {**out, "node": "", "packed": np.frombuffer(packed, np.uint8)}


def graph(count: int, name: str) -> Graph:
    """``count`` stages, each of which but the first reads what the first makes."""
    cell = plan.build([plan.SuiteLine(locks=["modellock"], attacks=["none"], tasks=["digits"], models=["cnn"])])[0].cell
    hashes = [hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:20] for i in range(count)]
    first = ("key", hashes[0])
    stages = [Stage("key", hashes[0], cell, (), (), 1.0, 0.0)]
    stages += [Stage("victim", hash, cell, (0,), (first,), 1.0, 0.0) for hash in hashes[1:]]
    return Graph(stages, [(0,)] * count)


def seconds(cluster: Any, count: int, sleep: float, name: str) -> float:
    """Wall seconds from the first stage's end to the last's."""
    ends = []

    class Ends(Watch):
        def stage_ended(self, stage: Stage) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "s"
        Store(root, entropy="plan")
        options = {"address": cluster.address, "share": False}
        launcher.launch(graph(count, name), root, Settings(), str(sleep), Ends(), **options)
    return ends[-1] - ends[0]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=40, help="that sleep")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds of each")
    parser.add_argument("--empty", type=int, default=200, help="stages that do nothing")
    given = parser.parse_args()
    ray_node.run = nap
    walls: dict[int, float] = {}
    with clusters.nodes(1) as cluster:
        empty = seconds(cluster, given.empty + 1, 0.0, "empty") / given.empty
        print(f"overhead of a stage, one node: {1000 * empty:.1f} ms ({given.empty} stages, {WEIGHTS} bytes each)")
        for nodes in (1, 2, 4):
            while len(cluster.worker_nodes) < nodes:
                cluster.add_node(num_cpus=1, object_store_memory=clusters.MEMORY)
            cluster.wait_for_nodes()
            walls[nodes] = seconds(cluster, given.stages + 1, given.sleep, f"naps on {nodes}")
            gain = walls[1] / walls[nodes]
            done = f"{given.stages} x {given.sleep} s"
            print(f"{nodes} one-core nodes: {walls[nodes]:.1f} s for {done}, {gain:.2f} of {nodes}")


if __name__ == "__main__":
    main()
