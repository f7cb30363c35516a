"""What a tracker does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from reports.trackers.entry import Entry

PROJECT = "lockbench"
"""The experiment of MLflow and the project of W&B."""


class Tracker(Protocol):
    """Writes entries, each as a run of its own. Whatever it raises ends its part, never the run of the bench."""

    def known(self, entry: Entry) -> bool:
        """Whether it has a run of this record with these very numbers."""
        ...

    def write(self, entry: Entry, pictures: Mapping[str, Path]) -> None:
        """Write ``entry`` into the record's run, which is made if there is none.

        Args:
            pictures: PNG files by name; read before the call returns.
        """
        ...
