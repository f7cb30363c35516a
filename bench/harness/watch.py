"""What happens while cells run, as those who wait for it hear of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.plan.graph import Stage
from bench.records import Cell, Record

Evidence = dict[str, Any]
"""Per-image arrays by name, as in `bench.harness.judge`; here without its imports."""


class Watch:
    """Hears of everything and does nothing; a subclass does what it likes.

    A run calls these methods in its own process and in the order in which things happen.
    """

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """The stage ``name`` of ``cell`` has done ``done`` of ``total`` steps; ``what`` says of what."""

    def stage_ended(self, stage: Stage) -> None:
        """A stage of the graph has ended: it is made, or has failed."""

    def nodes(self, nodes: int, stages: int) -> None:
        """A cluster has ``nodes`` nodes just now, and ``stages`` stages are at work there."""

    def remark(self, text: str) -> None:
        """Something that whoever waits should know: a node is lost, or weights are fetched."""

    def measured(self, record: Record, evidence: Evidence) -> None:
        """RP of a cell is known, and the record is not complete yet: key conditions and the curve may be missing.

        Args:
            record: with what is measured so far. It is in no store.
            evidence: per-image predictions behind it.
        """

    def done(self, record: Record) -> None:
        """The record of a cell is complete and in the store."""


class WatchFailed(BaseException):
    """A watch raised while a cell ran. It is no failure of the cell, so nothing that records those may catch it."""


class Beside(Watch):
    """Tells ``watch`` what happens within a cell. What it raises ends the run, and stands in no record."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """As `Watch.stage`."""
        _call(lambda: self._watch.stage(cell, name, done, total, what))

    def measured(self, record: Record, evidence: Evidence) -> None:
        """As `Watch.measured`."""
        _call(lambda: self._watch.measured(record, evidence))


def _call(hear: Callable[[], None]) -> None:
    try:
        hear()
    except Exception as error:
        raise WatchFailed from error
