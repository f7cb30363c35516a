"""Cells as tasks of a ray cluster that shares the store's folder (extra ``lockbench[ray]``)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from bench.errors import UserError
from bench.harness.launchers.worker import one
from bench.harness.watch import Watch
from bench.plan.graph import Graph
from bench.records import Record
from bench.store.settings import Settings


def launch(
    graph: Graph,
    store: Path,
    settings: Settings,
    command: str,
    watch: Watch,
) -> None:
    """Run the cells of ``graph`` wherever ray puts them; ``watch`` hears of each record as it is ready.

    Raises:
        UserError: ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UserError("ray is not installed.", "Install it: pip install 'lockbench[ray]'") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    task = ray.remote(num_cpus=settings.threads)(one)
    cells = [stage.cell.model_dump_json() for stage in graph.stages if stage.kind == "scored"]
    waiting = [task.remote("scored", cell, str(store.resolve()), asdict(settings), command) for cell in cells]
    while waiting:
        ready, waiting = ray.wait(waiting)
        for result in ray.get(ready):
            watch.done(Record.model_validate_json(result["record"]))
