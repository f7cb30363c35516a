"""How long the rest of a run may take: by the estimates of its stages, and by how those that ended kept to them."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.plan.graph import Graph, Stage

TRUSTED = 120.0
"""Seconds of work, as estimated, after which the pace of a run counts as much as the estimates."""


class TimeLeft:
    """The time that the stages of a graph still take.

    Args:
        graph: the stages of a run that starts now.
        jobs: stages at once.
        clock: seconds.
    """

    def __init__(self, graph: Graph, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph, self._clock = graph, clock
        self.jobs = jobs
        """Stages at once; a cluster may grow."""
        self._at = {(stage.kind, stage.hash): i for i, stage in enumerate(graph.stages)}
        self._left = set(range(len(graph)))
        self._start = clock()

    def ended(self, stage: Stage) -> None:
        """One stage less."""
        self._left.discard(self._at.get((stage.kind, stage.hash), -1))

    def counts(self) -> tuple[int, int]:
        """Stages that have ended, and all."""
        return len(self._graph) - len(self._left), len(self._graph)

    def seconds(self) -> float:
        """An estimate; 0 where nothing is left."""
        left = self._graph.seconds(self.jobs, self._left)
        expected, spent = self._graph.seconds(self.jobs) - left, self._clock() - self._start
        pace = (TRUSTED + spent) / (TRUSTED + max(0.0, expected))
        return left * pace
