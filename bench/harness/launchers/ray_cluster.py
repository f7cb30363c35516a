"""The nodes of a ray cluster as a driver sees them: who they are, what they have, and how much fits at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.errors import UserError
from bench.harness.launchers import ray_node, ray_probe
from bench.source_files import ROOT

LOOK = 120.0
"""Seconds in which a node must say what it has."""
FORGET = 15.0
"""Seconds that nodes have to remove what a run leaves."""


@dataclass
class Cluster:
    """The nodes of a cluster.

    Args:
        resources: of each stage, as ray's options.
        lacking: how many nodes have no LockBench.
        names: of the nodes that are alive, by ray's number.
        slots: stages at once.
        ahead: stages that wait at the nodes beside those, one each, so that no node waits for the driver.
        all_share: whether every node works in the driver's store.
        remarks: what whoever waits should know.
    """

    resources: dict[str, Any]
    lacking: int = 0
    names: dict[str, str] = field(default_factory=dict)
    slots: int = 0
    ahead: int = 0
    all_share: bool = False
    remarks: list[str] = field(default_factory=list)
    _most_memory: int = 0

    def look(self) -> list[str]:
        """Look at who is there now; a remark on each node that came or went since."""
        alive = _alive()
        names = _names(alive)
        gone = [name for at, name in self.names.items() if at not in names]
        came = [name for at, name in names.items() if self.names and at not in self.names]
        if came:  # who is new may not see the store
            self.all_share = False
        self.names = names
        fits = [_fit(node["Resources"], self.resources) for node in alive]
        self.slots, self.ahead = sum(fits), sum(fit > 0 for fit in fits)
        self._most_memory = max((int(node["Resources"].get("memory", 0)) for node in alive), default=0)
        lost = [f"the node {name} is lost; its stages run again elsewhere" for name in gone]
        return lost + [f"the node {name} has joined" for name in came]

    def memory(self, gigabytes: float) -> int | None:
        """Bytes that a stage asks for, no more than a node has: a stage that is larger runs there alone."""
        wanted = min(int(gigabytes * 1e9), int(0.9 * self._most_memory))
        return wanted if wanted > 0 and self.resources.get("num_gpus", 0) == 0 else None

    def named(self, text: str) -> str:
        """``text`` with the names of nodes in place of ray's numbers."""
        for number, name in self.names.items():
            text = text.replace(number, name)
        return text

    def forget(self, run: str) -> None:
        """Let every node remove what it keeps of ``run``, as far as that goes in `FORGET` seconds."""
        import ray

        with contextlib.suppress(Exception):
            task = ray.remote(num_cpus=0, max_retries=0)(ray_node.forget)
            answers = [task.options(scheduling_strategy=_on(node)).remote(run) for node in _names(_alive())]
            ray.wait(answers, num_returns=len(answers), timeout=FORGET)


def examine(work: ray_node.Work, threads: int, gpus: float) -> Cluster:
    """The cluster that this process is connected to, once every node has shown what it has.

    Args:
        threads: of each stage.
        gpus: of each stage.

    Raises:
        UserError: a node has another LockBench, torch or Python, or no node can take a stage.
    """
    resources: dict[str, Any] = {"num_cpus": threads, **({"num_gpus": gpus} if gpus else {})}
    cluster = Cluster(resources)
    cluster.look()
    if cluster.slots == 0:
        needs = f"{threads} processors" + (f" and {gpus:g} GPUs" if gpus else "")
        raise UserError(
            f"no node of the cluster has {needs}.", "Use fewer --threads or --gpus-per-cell, or add a node."
        )
    found = probe(work, cluster.names)
    here = ray_probe.look()
    refused = ray_probe.refusals(found, here)
    if refused:
        messages = [message for message, _ in refused]
        more = f", and {len(messages) - 3} more" if len(messages) > 3 else ""
        raise UserError(f"{'; '.join(messages[:3])}{more}.", refused[0][1])
    cluster.lacking = len(ray_probe.lacking(found))
    cluster.remarks += ray_probe.remarks(found, here)
    cluster.all_share = all(node["shares"] for node in found.values())
    return cluster


def code() -> dict[str, Any]:
    """Ray's ``runtime_env`` that brings this machine's LockBench."""
    return {"py_modules": [str(ROOT / name) for name in (*ray_probe.PACKAGES, "reports")]}


def probe(work: ray_node.Work, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `ray_probe.look` finds on each node, by the node's name.

    Raises:
        UserError: a node does not answer.
    """
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(ray_probe)  # a node may have no LockBench to import it from
    try:
        task = ray.remote(num_cpus=0, max_retries=1)(ray_probe.look)
        answers = {
            name: task.options(scheduling_strategy=_on(node)).remote(work.token_file, work.token)
            for node, name in names.items()
        }
    finally:
        cloudpickle.unregister_pickle_by_value(ray_probe)
    out = {}
    for name, answer in answers.items():
        try:
            out[name] = ray.get(answer, timeout=LOOK)
        except ray.exceptions.RayError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"the node {name} does not answer: {first[:300]}", "Take it out, or mend it.") from None
    return out


def here() -> Any:
    """Ray's strategy for what must run on the driver's node."""
    import ray

    return _on(ray.get_runtime_context().get_node_id())


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _names(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """A name for each node: its machine's, with a few digits of ray's number where machines run several."""
    machines = Counter(node["NodeManagerHostname"] for node in nodes)
    return {
        node["NodeID"]: node["NodeManagerHostname"]
        + (f"#{node['NodeID'][:6]}" if machines[node["NodeManagerHostname"]] > 1 else "")
        for node in nodes
    }


def _fit(has: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many stages that need ``needs`` fit a node that has ``has``."""
    cpus = has.get("CPU", 0.0) / needs["num_cpus"]
    gpus = has.get("GPU", 0.0) / needs["num_gpus"] if "num_gpus" in needs else cpus
    return int(min(cpus, gpus) + 1e-6)
