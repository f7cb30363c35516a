"""One stage of the graph, run: an artefact in the store, or the record of a cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bench import seeds
from bench.guests.subjects import Model
from bench.harness.artefacts import Trained
from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.failure import Failure
from bench.harness.judge import Judge
from bench.harness.stages import Stages
from bench.records import Cell, Record
from bench.store import identity


def run_stage(kind: str, cell: Cell, context: Context) -> Record | Failure | None:
    """Make the stage ``kind`` of ``cell`` in the store of ``context``; what it reads is read there, or made.

    Args:
        kind: one of `bench.plan.graph.KINDS`.

    Returns:
        The record where ``kind`` is ``scored``, failed or not; else None, or why the artefact could not be made.

    Raises:
        UserError: the data cannot be read.
        StoreError: the store cannot be written.
    """
    if kind == "scored":
        return run_cell(cell, context)
    context.scenario(cell)
    try:
        _Artefacts(cell, context).make(kind)
    except Exception as error:
        return Failure.of(error, context.store.root)
    return None


class _Artefacts:
    """The artefacts of ``cell``, each made where the store lacks it."""

    def __init__(self, cell: Cell, context: Context) -> None:
        self._cell, self._context = cell, context
        self._identity = identity.of(cell, context.settings)
        self._stages = Stages(cell, self._identity, context)
        self._scenario = context.scenario(cell)

    def make(self, kind: str) -> None:
        stages, scenario = self._stages, self._scenario
        if kind == "victim":
            stages.victim(scenario)
            return
        key = stages.key(scenario)
        if kind == "key":
            return
        victim: Callable[[], Trained] | None = cache(lambda: stages.victim(scenario)) if stages.needs().victim else None
        if kind == "unlocked" and self._cell.threat.access == "none":
            stages.unlocked(scenario, None, _no_model, key)
            return
        locked = stages.protected(scenario, victim, key)
        model: Callable[[], Model] = cache(lambda: stages.model(locked, f"lock {self._cell.lock.name}"))
        if kind == "unlocked":
            stages.unlocked(scenario, locked, model, key)
        elif kind == "judged":
            stages.judged(self._judge(), victim, model)
        elif kind == "conditions":
            stages.conditions(self._judge(), model)
        elif kind != "protected":
            raise ValueError(f"no stage '{kind}'")

    def _judge(self) -> Judge:
        split = "judge-validation" if seeds.is_tuning(self._cell.replicate) else "test"
        key = self._stages.key(self._scenario)
        hash = self._identity.hashes["key"]
        return self._context.judge(self._scenario, key, hash, split, self._cell.replicate)


def _no_model() -> Model:
    raise RuntimeError("the threat model grants no model")
