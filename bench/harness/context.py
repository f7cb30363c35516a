"""Where cells run: the store, how things are computed, and what cells share while they run."""

from __future__ import annotations

from typing import Any

import torch

from bench import determinism, registry, session
from bench.contracts import Key
from bench.datasets import scenario as scenarios
from bench.datasets.scenario import Scenario
from bench.guests import process as guests
from bench.guests.process import Limits
from bench.harness.failure import Failure
from bench.harness.judge import Judge
from bench.harness.replies import StoredReplies
from bench.harness.watch import Watch
from bench.language import asking
from bench.records import Cell
from bench.store.settings import Settings
from bench.store.store import Store

MOST_KEPT = 4
"""Data sets, and judges with their keyed images, that a process keeps: stages of a graph come by seed and lock."""


class Context:
    """Where cells run. Making one sets threads, determinism, plugins and the session of this process.

    Args:
        store: of artefacts and records.
        settings: device, threads, plugin files.
        watch: hears of what happens.
        command: the command line, for the record.

    Attributes:
        failures: stages that are not tried again, by kind and hash.
    """

    def __init__(self, store: Store, settings: Settings, watch: Watch | None = None, command: str = "") -> None:
        self.store, self.settings, self.watch, self.command = store, settings, watch or Watch(), command
        self.failures: dict[tuple[str, str], Failure] = {}
        self.plugins = registry.use(settings.plugin_files, run_guests=False)
        guests.use(Limits(settings.wall_limit, settings.memory_limit))
        torch.set_num_threads(settings.threads)
        determinism.deterministic(settings.device)
        session.use(settings.device, "float32", store.edits)
        asking.use(StoredReplies(store), settings.language_model)
        self._scenarios: dict[tuple[Any, ...], Scenario] = {}
        self._judges: dict[tuple[str, str, int], Judge] = {}

    def scenario(self, cell: Cell) -> Scenario:
        """Data and splits of ``cell``, read once.

        Raises:
            UserError: no such data, or data that cannot serve.
        """
        at = (cell.scenario, cell.size, cell.replicate, *sorted(cell.data_settings.items()))
        if at not in self._scenarios:
            _make_room(self._scenarios)
            self._scenarios[at] = scenarios.load(
                cell.scenario,
                cell.replicate,
                size=cell.size,
                skip_bad=self.settings.skip_bad,
                settings=cell.data_settings,
                progress=lambda done, total: self.watch.stage(cell, "data", done, total, "images decoded"),
            )
        return self._scenarios[at]

    def judge(self, scenario: Scenario, key: Key, key_hash: str, split: str, replicate: int) -> Judge:
        """The judge of ``split`` for the key of that hash: its keyed images are made once."""
        at = (key_hash, split, replicate)
        if at not in self._judges:
            _make_room(self._judges)
            self._judges[at] = Judge(scenario, key, split, self.settings.device)
        return self._judges[at]


def _make_room(kept: dict[Any, Any]) -> None:
    """Drop what was made first where `MOST_KEPT` are there."""
    while len(kept) >= MOST_KEPT:
        del kept[next(iter(kept))]
