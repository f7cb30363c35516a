"""The commands that read a store: `bench report` and `bench ownership`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import console
from bench.cli.gate import DEFAULT_STORE, StoreOption
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.records import Cell, Record


def register(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(report)
    app.command()(ownership)


def report(
    format: Annotated[str, typer.Option(help="md, csv, json, latex, or terminal")] = "terminal",
    out: Annotated[
        Path | None, typer.Option(help="folder to write tables and pictures to; without it, the table is printed")
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="only this task (repeatable)")] = None,
    suite: Annotated[
        str | None, typer.Option(help="only this suite's rows, and those of it that were not measured")
    ] = None,
    lock: Annotated[
        list[str] | None, typer.Option("--lock", help="with --suite: as it was run with (repeatable)")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="with --suite: as it was run with (repeatable)")
    ] = None,
    tuning: Annotated[bool, typer.Option("--tuning", help="trials of tuning seeds, side by side")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="folder to write a page to that opens from disk")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Tables, pictures and a page of what the store holds."""
    from bench.store import Store
    from reports.rows import aggregate
    from reports.rows import planned as asked
    from reports.text import tables, terminal
    from reports.write import write

    formats = ("md", "csv", "json", "latex", "terminal")
    if format not in formats:
        raise UserError(f"no format '{format}'.", f"Formats: {', '.join(formats)}.")
    if (suite is not None or tuning) and (html is not None or out is not None):
        raise UserError(
            "--suite and --tuning go with a printed table.", "Leave out --out and --html, or print: > FILE."
        )
    if suite is None and (lock or model):
        raise UserError("--lock and --model go with --suite.", "Name the suite, or leave them out.")
    if out is not None and (html is not None or task):
        raise UserError(
            "--out goes with neither --html nor --task.", "Use --html DIR --task NAME for a page of some tasks alone."
        )
    opened = Store(store, write=False)
    if html is not None:
        from reports.page import site as page

        console.say(str(page.write(opened, html, task or ())))
        return
    if out is not None:
        for file in write(opened, out, "md" if format == "terminal" else format):
            console.say(str(file))
        return
    records = [r for r in opened.records() if not task or r.cell.scenario in task]
    cells = None
    if suite is not None:
        from bench import plan

        wanted = {"locks": lock, "models": model, "tasks": task}
        cells = [p.cell for p in plan.build(plan.suite_rows(suite, wanted))]
    if tuning:
        _say_trials(records, cells, format)
        return
    rows = aggregate.rows(records, opened.evidence)
    if cells is not None:
        rows = asked.as_asked(rows, cells, records)
    if format == "terminal":
        console.out.print(terminal.terminal(rows))
    else:
        sys.stdout.write(tables.render(rows, format).rstrip("\n") + "\n")


def _say_trials(records: list[Record], cells: list[Cell] | None, format: str) -> None:
    from reports.rows import trials

    if cells is not None:
        keys = {cell.row_key() for cell in cells}
        records = [record for record in records if record.row_key in keys]
    if format == "terminal":
        console.out.print(trials.terminal(records))
    else:
        sys.stdout.write(trials.render(records, format).rstrip("\n") + "\n")


def ownership(store: StoreOption = DEFAULT_STORE) -> None:
    """Claims of ownership on marked and un-marked models of the store (see bench/plan/suites/ownership.toml)."""
    from bench.store import Store
    from reports.tools.ownership import claims, table

    opened = Store(store, write=False)
    found = claims(opened.records(), opened.evidence)
    if not found:
        raise UserError("the store has no model to claim.", "Run: bench run --suite ownership")
    console.out.print(table(found))
