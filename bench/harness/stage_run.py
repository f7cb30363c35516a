"""One stage of the graph, run: an artefact in the store, or the record of a cell."""

from __future__ import annotations

from functools import cache

from bench import fetching
from bench.contracts import Key
from bench.guests.subjects import Model
from bench.harness.artefacts import Trained
from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.failure import Failure
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
    with fetching.heard(context.watch.remark):
        return _run(kind, cell, context)


def _run(kind: str, cell: Cell, context: Context) -> Record | Failure | None:
    if kind == "scored":
        return run_cell(cell, context)
    scenario = context.scenario(cell)
    stages = Stages(cell, identity.of(cell, context.settings), context)

    @cache
    def key() -> Key:
        return stages.key(scenario)

    @cache
    def victim() -> Trained:
        return stages.victim(scenario)

    @cache
    def locked() -> Trained:
        return stages.protected(scenario, victim if stages.needs().victim else None, key())

    @cache
    def model() -> Model:
        return stages.model(locked(), f"lock {cell.lock.name}")

    try:
        match kind:
            case "victim":
                victim()
            case "key":
                key()
            case "protected":
                locked()
            case "judged":
                stages.judged(stages.judge(scenario, key()), victim if stages.needs().victim else None, model)
            case "conditions":
                stages.conditions(stages.judge(scenario, key()), model)
            case "unlocked":
                is_blind = cell.threat.access == "none"
                stages.unlocked(scenario, None if is_blind else locked(), model, key())
            case _:
                raise ValueError(f"no stage '{kind}'")
    except Exception as error:
        return Failure.of(error, context.store.root)
    return None
