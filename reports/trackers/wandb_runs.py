"""Weights & Biases: a run for each record, its id the record's hash. Offline unless ``WANDB_MODE`` says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reports.trackers.entry import Entry
from reports.trackers.tracker import PROJECT


class WandbRuns:
    """Writes to the folder ``wandb`` in ``WANDB_DIR`` or the working folder, into ``WANDB_PROJECT`` or `PROJECT`."""

    def __init__(self) -> None:
        """Find out where and how to write. Nothing is sent and nobody is asked to log in unless the mode says so."""
        self._mode = os.environ.get("WANDB_MODE", "offline")
        self._folder = Path(os.environ.get("WANDB_DIR") or Path.cwd())
        self._folder.mkdir(parents=True, exist_ok=True)

    def known(self, entry: Entry) -> bool:
        """See `Tracker.known`. A file in the run's folder says it: offline there is nobody to ask."""
        return any(self._folder.glob(f"wandb/*run-*-{entry.record}/{self._mark(entry)}"))

    def write(self, entry: Entry, pictures: Mapping[str, Path]) -> None:
        """See `Tracker.write`. A second run of one id is joined to the first by W&B when it is synchronised."""
        import wandb

        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=entry.record,
            name=entry.name[:128],
            config={**entry.params, **entry.tags},
            mode=self._mode,  # type: ignore[arg-type]
            resume="allow",
            reinit="create_new",
            dir=str(self._folder),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
        try:
            run.log({**entry.metrics, **{name: wandb.Image(str(file)) for name, file in pictures.items()}})
        except BaseException:
            run.finish(exit_code=1)
            raise
        folder = Path(run.dir).parent
        run.finish(exit_code=0 if entry.ok else 1)
        (folder / self._mark(entry)).touch()

    @staticmethod
    def _mark(entry: Entry) -> str:
        return f"lockbench-{entry.digest}"
