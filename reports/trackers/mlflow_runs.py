"""MLflow: a run for each record, found again by its tag. Needs mlflow-skinny with sqlalchemy and alembic, or mlflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from reports.trackers.entry import Entry
from reports.trackers.tracker import PROJECT

URI = "sqlite:///mlflow.db"
"""Where ``MLFLOW_TRACKING_URI`` is not set: the database that ``mlflow ui`` reads, in the working folder."""
RECORD, DIGEST = "lockbench.record", "lockbench.entry"


class MlflowRuns:
    """Writes to ``MLFLOW_TRACKING_URI``, into the experiment ``MLFLOW_EXPERIMENT_NAME`` or `PROJECT`."""

    def __init__(self) -> None:
        """Open the store and the experiment, which is made if absent."""
        for name in ("mlflow", "alembic"):  # the making of a database is no news
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        self._client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", URI))
        experiment = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if experiment is None else experiment.experiment_id

    def known(self, entry: Entry) -> bool:
        """See `Tracker.known`."""
        return (run := self._run(entry)) is not None and run.data.tags.get(DIGEST) == entry.digest

    def write(self, entry: Entry, pictures: Mapping[str, Path]) -> None:
        """See `Tracker.write`. The digest is the last to be written: a run that was cut off is written again."""
        from mlflow.entities import Metric, Param, RunTag

        run = self._run(entry)
        if run is None:
            run = self._client.create_run(self._experiment, tags={RECORD: entry.record}, run_name=entry.name)
        own, now = run.info.run_id, int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in entry.metrics.items()]
        tags = [RunTag(name, value) for name, value in entry.tags.items()]
        params = [Param(name, value) for name, value in entry.params.items()]
        for part in range(0, len(params), 100):  # as many as a call takes
            self._client.log_batch(own, params=params[part : part + 100])
        for part in range(0, len(tags), 100):
            self._client.log_batch(own, tags=tags[part : part + 100])
        self._client.log_batch(own, metrics=metrics)
        for file in pictures.values():
            self._client.log_artifact(own, str(file), "pictures")
        self._client.set_tag(own, DIGEST, entry.digest)
        self._client.set_terminated(own, "FINISHED" if entry.ok else "FAILED")

    def _run(self, entry: Entry):  # type: ignore[no-untyped-def]
        """The run of the record, None where there is none."""
        found = self._client.search_runs([self._experiment], f"tags.`{RECORD}` = '{entry.record}'", max_results=1)
        return found[0] if found else None
