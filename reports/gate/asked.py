"""What a gate is asked to judge: rows, seeds, and the command that makes what the candidate lacks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.records import Cell, PluginRef, Record
from bench.threat import Budget, ThreatModel
from reports.gate.snapshot import SnapshotRow
from reports.rows.rerun import USUAL_THREADS, command_of


@dataclass(frozen=True)
class Asked:
    """The rows and seeds that a candidate must have.

    Args:
        suite: whose rows these are; None where no suite was named.
        rows: the seeds of each row, by row key; None: every row of the snapshot.
        seeds: of every row where ``rows`` is None; None: those that the candidate has.
        names: the rows of ``rows`` in words, by row key.
    """

    suite: str | None = None
    rows: Mapping[str, frozenset[int]] | None = None
    seeds: frozenset[int] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def seeds_of(self, row_key: str) -> frozenset[int] | None:
        """The seeds of a row; None where any will do."""
        return self.seeds if self.rows is None else self.rows.get(row_key, frozenset())

    def keeps(self, record: Record) -> bool:
        """Whether ``record`` has a seed that is asked for; what older code left in a store does not count.

        A row that the suite does not have, a control for one, counts with any seed of the suite.
        """
        seed = record.cell.replicate
        if self.rows is None:
            return self.seeds is None or seed in self.seeds
        return seed in self.rows.get(record.row_key, frozenset().union(*self.rows.values()))


@dataclass(frozen=True)
class Remake:
    """The command that makes rows of the candidate.

    Args:
        store: of the candidate.
        suite: that has the rows; None: each row is run by its names and parameters.
        threads: of the workers; 0 where unknown.
        plugins: files that the run needs.
    """

    store: Path = Path("runs")
    suite: str | None = None
    threads: int = 0
    plugins: Sequence[Path] = ()

    def __call__(self, row: SnapshotRow | None, seeds: Sequence[int]) -> str:
        """``bench run …`` for exactly ``seeds``: a command for each run of them, since cells that exist are kept."""
        runs: list[list[int]] = []
        for seed in sorted(set(seeds)):
            if runs and seed == runs[-1][-1] + 1:
                runs[-1].append(seed)
            else:
                runs.append([seed])
        return " && ".join(self._command(row, run) for run in runs)

    def _command(self, row: SnapshotRow | None, seeds: Sequence[int]) -> str:
        more = [word for file in self.plugins for word in ("--plugin", str(file))]
        more += ["--store", str(self.store)]
        if self.suite is None and row is not None:
            return f"{command_of(_cell(row), seeds, self.threads)} {shlex.join(more)}"
        threads = [] if self.threads in (0, USUAL_THREADS) else ["--threads", str(self.threads)]
        words = ["bench", "run", "--suite", self.suite or "SUITE", "--seeds", f"{seeds[0]}:{seeds[-1] + 1}"]
        return shlex.join([*words, *threads, *more])


def _cell(row: SnapshotRow) -> Cell:
    def plugin(kind: str, **more: Any) -> PluginRef:
        name, explicit = row.row[kind]
        return PluginRef(name=name, params=explicit | more, explicit=explicit | more)

    editor = {"editor": row.row["editor"]} if row.row["editor"] in row.key else {}
    return Cell(
        scenario=row.row["scenario"],
        model=row.model,
        lock=plugin("lock"),
        key=plugin("key", **editor),
        attack=plugin("attack"),
        threat=ThreatModel(**row.row["threat"]),
        budget=Budget(**row.row["budget"]),
        task_settings=row.row["explicit"],
        replicate=0,
    )
