"""A graph of stages cut into slices that need little of one another: cells that share a lock stay together."""

from __future__ import annotations

import heapq

from bench.plan.graph import Graph
from bench.records import Cell


def slices(graph: Graph, count: int) -> list[list[Cell]]:
    """The cells of ``graph``, each in one slice, with about the same seconds to each.

    Args:
        count: how many slices at most; there are fewer where fewer locks are to do.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    seconds: dict[tuple[str, str], float] = {}
    for i, stage in enumerate(graph.stages):
        if stage.kind == "scored":
            groups.setdefault(_lock(graph, i), []).append(i)
    for i, stage in enumerate(graph.stages):
        at = (stage.kind, stage.hash) if stage.kind == "protected" else _lock(graph, i)
        if at in groups:  # victims and keys belong to several locks, and are made by whoever is first
            seconds[at] = seconds.get(at, 0.0) + stage.seconds
    ends = [(0.0, n) for n in range(max(1, min(count, len(groups))))]
    out: list[list[tuple[tuple[object, ...], Cell]]] = [[] for _ in ends]
    for at in sorted(groups, key=lambda at: (-seconds.get(at, 0.0), at)):  # the longest first, to whoever ends first
        spent, n = heapq.heappop(ends)
        heapq.heappush(ends, (spent + seconds.get(at, 0.0), n))
        out[n] += [(graph.order(i), graph.stages[i].cell) for i in groups[at]]
    return [[cell for _, cell in sorted(each, key=lambda item: item[0])] for each in out if each]


def _lock(graph: Graph, i: int) -> tuple[str, str]:
    """The locked model that the stage ``i`` reads; itself where it reads none."""
    stage = graph.stages[i]
    return next((own for own in stage.inputs if own[0] == "protected"), (stage.kind, stage.hash))
