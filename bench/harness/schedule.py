"""Which stage of a graph is next, and what a failed one takes with it. Bookkeeping alone: nothing runs here."""

from __future__ import annotations

from bisect import insort
from typing import Any

from bench.plan.graph import Graph, Stage

Artefact = tuple[str, str]
"""Kind and hash."""
Failures = dict[Artefact, dict[str, Any]]
"""`bench.harness.failure.Failure` as JSON, by the stage that failed."""


class Schedule:
    """The state of a run of ``graph``.

    A stage is ready when everything that it reads is there. Where something of it failed, an artefact is given up,
    and the record of a cell is made with the failures, which it then names.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._waits = [len(stage.parents) for stage in graph.stages]
        self._inherited: list[Failures] = [{} for _ in graph.stages]
        self._ready: list[tuple[tuple[object, ...], int]] = []
        self._ended: set[int] = set()
        for i, waits in enumerate(self._waits):
            if waits == 0:
                self._push(i)

    @property
    def finished(self) -> bool:
        """Whether every stage has ended."""
        return len(self._ended) == len(self.graph)

    @property
    def left(self) -> list[int]:
        """Positions of the stages that have not ended."""
        return [i for i in range(len(self.graph)) if i not in self._ended]

    def ready(self) -> list[int]:
        """Positions of the stages that can start, the best first."""
        return [i for _, i in self._ready]

    def start(self, i: int) -> Stage:
        """Take the stage ``i`` out of those that are ready."""
        self._ready.remove((self.graph.order(i), i))
        return self.graph.stages[i]

    def again(self, i: int) -> None:
        """The stage ``i`` was started and came to nothing: it is ready again."""
        self._push(i)

    def failures(self, i: int) -> Failures:
        """What failed of that which the stage ``i`` reads."""
        return self._inherited[i]

    def done(self, i: int) -> list[int]:
        """The stage ``i`` is made; itself, as `failed` has it."""
        return self._end(i, {})

    def failed(self, i: int, failure: dict[str, Any]) -> list[int]:
        """The stage ``i`` cannot be made.

        Args:
            failure: a `bench.harness.failure.Failure` as JSON.

        Returns:
            Positions of the stages that have ended with it, itself first: artefacts that are given up.
        """
        stage = self.graph.stages[i]
        return self._end(i, {(stage.kind, stage.hash): failure})

    def _end(self, i: int, failures: Failures) -> list[int]:
        ended = [i]
        self._ended.add(i)
        for child in self.graph.children[i]:
            self._waits[child] -= 1
            self._inherited[child].update(failures)
            if self._waits[child] > 0:
                continue
            inherited = self._inherited[child]
            if inherited and self.graph.stages[child].kind != "scored":
                own = self.graph.stages[child]
                ended += self._end(child, {**inherited, (own.kind, own.hash): next(iter(inherited.values()))})
            else:
                self._push(child)
        return ended

    def _push(self, i: int) -> None:
        insort(self._ready, (self.graph.order(i), i))
