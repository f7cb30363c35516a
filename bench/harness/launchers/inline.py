"""Stages one after another in this process."""

from __future__ import annotations

from pathlib import Path

from bench.harness.context import Context
from bench.harness.failure import Failure
from bench.harness.schedule import Schedule
from bench.harness.stage_run import run_stage
from bench.harness.watch import Beside, Watch, WatchFailed
from bench.plan.graph import Graph
from bench.records import Record
from bench.store.settings import Settings
from bench.store.store import Store


def launch(graph: Graph, store: Path, settings: Settings, command: str, watch: Watch) -> None:
    """Run the stages of ``graph``; ``watch`` hears of each.

    Raises:
        UserError: data cannot be read, or the store cannot be written.
        Exception: whatever ``watch`` raises. The cell that was running has no record then.
    """
    try:
        _launch(graph, store, settings, command, watch)
    except WatchFailed as failed:
        raise failed.__cause__ or failed from None


def _launch(graph: Graph, store: Path, settings: Settings, command: str, watch: Watch) -> None:
    context = Context(Store(store), settings, Beside(watch), command)
    schedule = Schedule(graph)
    while not schedule.finished:
        at = schedule.ready()[0]
        stage = schedule.start(at)
        context.failures = {own: Failure.from_json(value) for own, value in schedule.failures(at).items()}
        result = run_stage(stage.kind, stage.cell, context)
        ended = schedule.failed(at, result.to_json()) if isinstance(result, Failure) else schedule.done(at)
        for i in ended:
            watch.stage_ended(schedule.graph.stages[i])
        if isinstance(result, Record):
            watch.done(result)
