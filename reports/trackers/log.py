"""`bench run --log`: records to trackers. A tracker that fails ends its own part with a warning, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.errors import UserError, one_line
from bench.records import Record
from reports.rows.aggregate import current
from reports.rows.aggregate import rows as to_rows
from reports.rows.controls import Controls
from reports.rows.source import Store
from reports.trackers import pictures
from reports.trackers.entry import entry_of
from reports.trackers.tracker import Tracker

PACKAGES = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
"""What each tracker needs to be installed."""


def check(names: Iterable[str]) -> list[str]:
    """Each of ``names`` once.

    Raises:
        UserError: there is no such tracker, or its package is not installed.
    """
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in PACKAGES:
            raise UserError(f"no tracker '{name}'.", f"Use {' or '.join(PACKAGES)}.")
        if any(find_spec(package) is None for package in PACKAGES[name]):
            raise UserError(
                f"--log {name}: {name} is not installed.", f"In the folder of LockBench run: pip install -e '.[{name}]'"
            )
    return chosen


def opened(name: str) -> Tracker:
    """The tracker ``name`` of `PACKAGES`; its package is imported now."""
    if name == "mlflow":
        from reports.trackers.mlflow_runs import MlflowRuns

        return MlflowRuns()
    from reports.trackers.wandb_runs import WandbRuns

    return WandbRuns()


def log(
    names: Sequence[str],
    records: Sequence[Record],
    store: Store,
    warn: Callable[[str], None],
    open_tracker: Callable[[str], Tracker] = opened,
) -> dict[str, int]:
    """Write ``records`` to the trackers ``names``.

    Args:
        names: as `check` returned them.
        records: to write; what a tracker has already is left as it is.
        store: where their evidence and their controls are.
        warn: takes a line for each tracker that fails.

    Returns:
        How many records each tracker took.
    """
    pool = store.records()
    controls = {split: Controls(current(pool, split)) for split in ("test", "judge-validation")}
    table = to_rows(pool, store.evidence)
    taken: dict[str, int] = {}
    for name in names:
        taken[name] = 0
        try:
            tracker = open_tracker(name)
            for record in records:
                entry = entry_of(record, controls[record.split], store.evidence)
                if tracker.known(entry):
                    continue
                with tempfile.TemporaryDirectory(prefix="lockbench-") as folder:
                    tracker.write(entry, pictures.draw(record, table, store.evidence, Path(folder)))
                taken[name] += 1
        except Exception as error:  # a tracker may raise anything, and the records are safe in the store
            why = one_line(f"{type(error).__name__}: {error}")[:300]
            warn(f"--log {name} stopped after {taken[name]} of {len(records)} cells: {why}. No record is lost.")
    return taken
