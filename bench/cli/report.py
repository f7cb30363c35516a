"""`bench report`: tables, pictures and a page of what the store holds. No torch here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import seeds
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, PluginOption, StoreOption, plugin_files
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.records import Cell, Record
    from reports.rows.filters import Filters
    from reports.rows.row import Row


def report(
    format: Annotated[str, typer.Option(help="md, csv, json, latex, or terminal")] = "terminal",
    out: Annotated[
        Path | None, typer.Option(help="folder to write tables and pictures to; without it, the table is printed")
    ] = None,
    lock: Annotated[list[str] | None, typer.Option("--lock", help="only this lock and controls (repeatable)")] = None,
    attack: Annotated[
        list[str] | None, typer.Option("--attack", help="only this attack and controls (repeatable)")
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="only this task (repeatable)")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="only this model (repeatable)")] = None,
    suite: Annotated[
        str | None, typer.Option(help="only this suite's rows, and those of it that were not measured")
    ] = None,
    tuning: Annotated[bool, typer.Option("--tuning", help="show trials of tuning seeds side by side")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="folder to write a page to that opens from disk")] = None,
    details: Annotated[bool, typer.Option("--details", help="show intervals, threat models, costs and notes")] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="print locks against attacks, one small table a task and model")
    ] = False,
    ensemble: Annotated[
        str | None, typer.Option(help="the ensemble whose worst cases a printed table shows, such as ensemble-v1")
    ] = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what the store holds: tables, pictures, a page. --lock, --attack, --task and --model narrow all of them."""
    from bench.plan.ensemble import CURRENT
    from bench.store import Store
    from reports.rows import aggregate, planned, stored
    from reports.rows.filters import Filters
    from reports.write import write

    formats = ("md", "csv", "json", "latex", "terminal")
    if format not in formats:
        raise UserError(f"no format '{format}'.", f"Formats: {', '.join(formats)}.")
    if (suite is not None or tuning or ensemble is not None or matrix) and (html is not None or out is not None):
        raise UserError(
            "--suite, --tuning, --ensemble and --matrix go with a printed table.",
            "Leave out --out and --html, or print: > FILE.",
        )
    if matrix and (tuning or details):
        raise UserError("--matrix goes with neither --tuning nor --details.", "Leave out one of them.")
    if out is not None and html is not None:
        raise UserError("--out does not go with --html.", "Write them one after the other.")
    plugin_files(plugin, suite)
    filters = Filters(tuple(lock or ()), tuple(attack or ()), tuple(task or ()), tuple(model or ()))
    keep = filters.narrow if filters else None
    opened = Store(store, write=False)
    if html is not None:
        from reports.page import site as page

        console.say(str(page.write(opened, html, keep)))
        return
    if out is not None:
        for file in write(opened, out, "md" if format == "terminal" else format, keep):
            console.say(str(file))
        return
    if suite is None and not tuning:
        _show(stored.of_store(opened, ensemble or CURRENT), keep, format, details, store, matrix)
        return
    records = opened.records()
    cells = None
    if suite is not None:
        from bench import plan

        wanted = {"locks": lock, "attacks": attack, "models": model, "tasks": task}
        cells = [p.cell for p in plan.build(plan.suite_lines(suite, wanted))]
        if cells and not tuning and all(seeds.is_tuning(cell.replicate) for cell in cells):
            raise UserError(f"every seed of {suite} is a tuning seed.", "Read its trials with --tuning.")
    if tuning:
        _show_trials(records, cells, format, filters)
        return
    rows = aggregate.rows(records, opened.evidence, listed=ensemble or CURRENT)
    if cells is not None:
        rows = planned.of_suite(rows, cells, records)
    _show(rows, keep, format, details, store, matrix)


def _show(
    rows: list[Row],
    keep: Callable[[Sequence[Row]], list[Row]] | None,
    format: str,
    details: bool,
    store: Path,
    matrix: bool,
) -> None:
    from reports.text import matrix as compact
    from reports.text import summary, tables, terminal

    rows = rows if keep is None else keep(rows)
    if matrix:
        if format == "terminal":
            console.out.print(compact.terminal(rows))
        else:
            console.raw(compact.render(rows, format))
        return
    if format == "terminal":
        console.out.print(terminal.terminal(rows) if details else summary.summary(rows, _details(store)))
    else:
        console.raw(tables.render(rows, format))


def _show_trials(records: list[Record], cells: list[Cell] | None, format: str, filters: Filters) -> None:
    from reports.rows.aggregate import current
    from reports.text import trials

    records = current(records, "judge-validation")

    if cells is not None:
        keys = {cell.row_key() for cell in cells}
        records = [record for record in records if record.row_key in keys]
    if filters:
        own = {cell.row_key() for cell in filters.cells([record.cell for record in records])}
        records = [record for record in records if record.row_key in own]
    if format == "terminal":
        console.out.print(trials.terminal(records))
    else:
        console.raw(trials.render(records, format))


def _details(store: Path) -> str:
    """The command that shows what the summary leaves out."""
    return f"bench report --store {shlex.quote(str(store))} --details"
