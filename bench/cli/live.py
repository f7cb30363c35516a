"""Progress of a run: a bar over cells, a line for each stage at work, and rows as they are measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import plan
from bench.api.execution import HERE, Where
from bench.cli import console
from bench.harness.watch import Evidence, Watch
from bench.legible import visible
from bench.plan import ensemble
from bench.plan.time_left import TimeLeft
from bench.plan.wording import in_short, label, name_text, scenario_label, settings_of, unusual_rights
from reports.rows import aggregate, calibration
from reports.rows.reasons import reason_of
from reports.text.escaping import first_line
from reports.text.escaping import markup as escape
from reports.text.formatting import number
from reports.text.summary import STYLES, short

if TYPE_CHECKING:
    from bench.api.execution import Execution
    from bench.plan.graph import Graph, Stage
    from bench.records import Cell, Record
    from reports.rows.row import Row

MARKS = {"ok": "[green]ok[/]", "invalid": "[yellow]invalid[/]", "failed": "[red]failed[/]"}
LEAST, LONGEST = 20, 80
"""Characters of the words of a stage, at least and at most."""
BESIDE = 34
"""Columns that the bar and the counts beside them take."""


class Live(Watch):
    """Shows what happens.

    Args:
        graph: the stages of what is to do.
        jobs: stages at once.
        wanted: row keys of the rows that somebody waits for; the others are controls.
        known: records that are there already, controls of those to come among them.
        evidence: per-image predictions of a record of the store.
    """

    def __init__(
        self,
        graph: Graph,
        jobs: int,
        wanted: frozenset[str],
        known: Sequence[Record],
        evidence: Callable[[Record], Mapping[str, Any]],
    ) -> None:
        # A name tells a cell from those that are there, too.
        self._cells = [*graph.cells, *(record.cell for record in known)]
        self._wanted, self._evidence = wanted, evidence
        self._threats: dict[str, set[Any]] = {}
        for cell in self._cells:
            self._threats.setdefault(label(cell.attack), set()).add(cell.threat)
        self._left = TimeLeft(graph, jobs)
        self._records = {record.hash: record for record in known}
        self._early: dict[str, Evidence] = {}
        self._shown: dict[tuple[str, int], str] = {}
        self._places: set[tuple[str, str, int]] = set()
        self._stages: dict[tuple[str, str], Any] = {}
        self._where = ""
        self.progress = Progress(
            SpinnerColumn("line" if console.err.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console.err,
            transient=True,
        )
        self._bar = self.progress.add_task("cells", total=len(graph.cells))
        self._expect()

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        """Show how far the stage of ``cell`` is."""
        at = in_short(cell), name
        if at not in self._stages:
            self._stages[at] = self.progress.add_task("", total=None)
        words = visible(f"  {self._name(cell)}: {name}: {what}")
        words = words[: min(LONGEST, max(LEAST, console.err.width - BESIDE))]
        self.progress.update(self._stages[at], description=words, completed=done, total=total)

    def measured(self, record: Record, evidence: Evidence) -> None:
        """Show the row of ``record`` as far as it is known."""
        self._early[record.hash] = evidence
        self._add(record)

    def done(self, record: Record) -> None:
        """Count a cell, and show what was measured."""
        self._early.pop(record.hash, None)
        self._clear(record.cell)
        self.progress.advance(self._bar)
        own = (record.provenance.seconds.get(kind, 0.0) for kind in ("unlocked", "scored"))  # the rest is shared
        spent = console.minutes(sum(own))
        text = escape(self._name(record.cell))
        if record.status != "ok":
            self._print(f"{MARKS[record.status]} {text}  {escape(reason_of(record))}  ({spent})")
        elif record.row_key not in self._wanted:
            reached = "" if record.RP is None else f"  RP {number(record.RP.value)}"
            self._print(f"[dim]{MARKS['ok']} control {text}{reached}  ({spent})[/]")
        self._add(record)
        self._expect()

    def nodes(self, nodes: int, stages: int) -> None:
        """Show how many nodes a cluster has, and how many stages are at work."""
        shown = f", {stages} at work on {nodes} node{'' if nodes == 1 else 's'}"
        if shown != self._where:
            self._where, self._left.jobs = shown, max(1, stages)
            self._expect()

    def remark(self, text: str) -> None:
        """Show ``text`` on a line of its own."""
        self._print(f"[yellow]{escape(text)}[/]")

    def stage_ended(self, stage: Stage) -> None:
        """Count a stage."""
        self._clear(stage.cell)
        self._left.ended(stage)
        self._expect()
        if stage.kind == "protected" and not console.err.is_terminal:  # a log has no bar
            words = f"{label(stage.cell.lock)}, {scenario_label(stage.cell)} · {name_text(stage.cell.model_name)}"
            left = f"about {console.minutes(self._left.seconds())} left"
            ended, total = self._left.counts()
            counts = f"{ended} of {total} stages, {left}"
            self._print(f"[dim]lock {escape(words)}, seed {stage.cell.replicate}  ({counts})[/]")

    def _clear(self, cell: Cell) -> None:
        """Take the lines of ``cell`` away: a stage of it that is still at work comes back with its next step."""
        for at in [at for at in self._stages if at[0] == in_short(cell)]:
            self.progress.remove_task(self._stages.pop(at))

    def _expect(self) -> None:
        seconds = self._left.seconds()
        words = f"cells, about {console.minutes(seconds)} left" if seconds else "cells"
        self.progress.update(self._bar, description=words + self._where)

    def _add(self, record: Record) -> None:
        """Keep ``record``, and show the rows whose numbers it completes."""
        place = record.cell.name, record.cell.model_name, record.cell.replicate
        if place not in self._places:  # rows that were measured before are shown again only where a number changes
            self._places.add(place)
            self._shown |= {(row.row_key, place[2]): _line(row) for row in self._rows(place)}
        self._records[record.hash] = record
        for row in self._rows(place):
            self._show(row, place[2])

    def _rows(self, place: tuple[str, str, int]) -> list[Row]:
        """The rows somebody waits for, of the records of a task, a model and a seed."""
        near = [r for r in self._records.values() if (r.cell.name, r.cell.model_name, r.cell.replicate) == place]
        if not any(r.row_key in self._wanted for r in near):
            return []
        table = aggregate.rows(near, self._of, withhold=False)
        return [row for row in table if row.row_key in self._wanted and row.ensemble is None and row.status == "ok"]

    def _of(self, record: Record) -> Mapping[str, Any]:
        return self._early[record.hash] if record.hash in self._early else self._evidence(record)

    def _show(self, row: Row, replicate: int) -> None:
        """One line of a row, again where its numbers have changed."""
        line, at = _line(row), (row.row_key, replicate)
        if self._shown.get(at) != line:
            self._shown[at] = line
            cell = next(r.cell for r in self._records.values() if (r.row_key, r.cell.replicate) == at)
            self._print(f"[bold]{escape(self._name(cell))}[/]  {line}")

    def _name(self, cell: Cell) -> str:
        """``cell`` in as few words as tell it from the others of this run."""
        parts = [f"{label(cell.lock)} × {label(cell.attack)}"]
        if len({(c.scenario, c.model) for c in self._cells}) > 1:
            parts.append(f"{scenario_label(cell)} · {name_text(cell.model_name)}")
        if len(self._threats[label(cell.attack)]) > 1:
            parts.append(self._threat(cell))
        if len({c.replicate for c in self._cells}) > 1:
            parts.append(f"seed {cell.replicate}")
        return ", ".join(parts)

    def _threat(self, cell: Cell) -> str:
        """The threat model by its name in the ensemble, else by what it grants beyond the usual."""
        if name := ensemble.listed_name(cell.threat):
            return name
        return ", ".join(settings_of(unusual_rights(cell.threat.values(), {}))) or cell.threat.access

    def _print(self, line: str) -> None:
        self.progress.console.print(line, soft_wrap=True)


def _line(row: Row) -> str:
    """The numbers of a row and its verdict, with markup."""
    named = [("UP", "UP"), ("LP", "LP"), ("RP", "RP"), ("baseline", "public_baseline")]
    numbers = [f"{name} {number(row.mean(field))}" for name, field in named]
    word = "baseline to come" if row.mean("public_baseline") is None else short(row.verdict)
    if row.attack_purpose == "no-attack":
        numbers, word = numbers[:2], ""
    return "  ".join([*numbers, f"[{STYLES.get(word, 'dim')}]{word}[/]" if word else ""]).rstrip()


def follow(execution: Execution, jobs: int | None, where: Where = HERE, cards: Sequence[int] = (0,)) -> list[Record]:
    """Run what ``execution`` has to do, with its progress on the screen; the records of its plan.

    Args:
        execution: a plan on a store.
        jobs, where, cards: as `bench.api.execution.Execution.prepare` has them.

    Raises:
        UserError: what is to do cannot run.
    """
    with execution:
        with console.busy("checking the plan"):
            execution.prepare(jobs, where, cards)
        if execution.todo:
            wanted = frozenset(item.cell.row_key() for item in execution.planned if item.reason == plan.ASKED)
            store = execution.opened
            watch = Live(execution.graph, execution.at_once, wanted, execution.records(), store.evidence)
            with watch.progress:
                execution.run(watch, command())
    return execution.records()


def command() -> str:
    """The command line, as a record names its origin: without the store, and without the folders of absolute paths.

    Records are handed on, and where somebody keeps files is nobody's business.
    """
    words, rest = ["bench"], iter(sys.argv[1:])
    for word in rest:
        if word == "--store":
            next(rest, None)
        elif not word.startswith("--store="):
            name, sign, value = word.rpartition("=")
            words.append(name + sign + (Path(value).name if Path(value).is_absolute() else value))
    return " ".join(map(shlex.quote, words))


def say_remarks(records: Sequence[Record]) -> None:
    """Say what each data source has to remark, once."""
    for record in {r.cell.scenario: r for r in records}.values():
        for remark in record.data_notes.get("remarks", ()):
            console.warn(f"{record.cell.name}: {remark}")


def say_failed_controls(rows: Sequence[Row]) -> None:
    """Say which controls fail, so that what stands beside them is not believed."""
    for failed in calibration.failed(rows):
        where = f"{failed.row.scenario} · {failed.row.model} · {failed.row.lock} × {failed.row.attack}"
        console.warn(f"control failed: {failed.control} ({where}): {failed.what}: {failed.meaning}")


def end(records: Sequence[Record]) -> None:
    """Name the cells without a result, and end the command with status 1 where there are any."""
    failed = [record for record in records if record.status != "ok"]
    for record in failed:
        console.warn(f"{record.status}: {in_short(record.cell)}: {first_line(reason_of(record))}")
    if failed:
        raise typer.Exit(1)
