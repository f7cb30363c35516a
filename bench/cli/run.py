"""`bench run`: run locks against attacks, and show what was measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from bench import plan
from bench.api import request
from bench.api.execution import Execution, check_launcher, cores, usual_jobs
from bench.cli import console
from bench.cli.options import (
    DEFAULT_STORE,
    AttacksOption,
    DeviceOption,
    EditorOption,
    EntropyOption,
    LocksOption,
    ModelsOption,
    ParamOption,
    PluginOption,
    SeedsOption,
    StoreOption,
    TasksOption,
    ThreadsOption,
    plugin_files,
)
from bench.errors import UserError
from bench.harness.durations import seconds as estimate
from bench.plan.wording import in_short
from bench.records import Cell, Record
from bench.store import Store
from bench.store.settings import PLAN, Settings
from reports.text.escaping import first_line


def run(
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    editor: EditorOption = None,
    seeds: SeedsOption = None,
    suite: Annotated[str | None, typer.Option(help="a suite by name, or a .toml file")] = None,
    param: ParamOption = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="GROUP.NAME=A,B,C: every value, e.g. threat.share=0.01,0.1 (repeatable)")
    ] = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="cells at once, each in a process of its own",
            show_default="one a core of the CPU, up to 8; 1 on a GPU",
        ),
    ] = None,
    threads: ThreadsOption = 1,
    launcher: Annotated[str, typer.Option(help="local, or ray")] = "local",
    wall_limit: Annotated[
        float | None, typer.Option(min=0, help="wall seconds of a stage in a plugin's process; 0: no limit")
    ] = 7200.0,
    memory_limit: Annotated[
        float | None, typer.Option(min=0.1, help="GB that a plugin's process may allocate", show_default="no limit")
    ] = None,
    entropy: EntropyOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave out image files that cannot be read")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    details: Annotated[bool, typer.Option("--details", help="show intervals, threat models, costs and notes")] = False,
    log: Annotated[
        list[str] | None, typer.Option("--log", help="write each cell to a tracker too: mlflow or wandb (repeatable)")
    ] = None,
) -> None:
    """Run locks against attacks. What is done already is not done again."""
    check_launcher(launcher)
    if log:
        from reports.trackers.log import check

        check(log)
    files = plugin_files(plugin, suite)
    settings = Settings(
        device=request.device_of(device),
        threads=threads,
        skip_bad=skip_bad,
        plugin_files=files,
        wall_limit=wall_limit or None,
        memory_limit=memory_limit,
    )
    names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    planned = plan.build(request.lines_of(names, seeds, suite, param, editor, sweep))
    if sweep:  # a sweep may start where the attack has nothing to work with: no labels, say
        planned, left = plan.accepted(planned)
        for cell, reason in left:
            console.say(f"left out: {in_short(cell)}: {reason}", "yellow")
    if not planned:
        raise UserError(request.NOTHING, request.OTHERS)
    opened = None
    if not dry_run:
        opened = Store(store, entropy=entropy)
    elif (store / "lockbench.json").exists():
        opened = Store(store, write=False, entropy=entropy)
    settings = replace(settings, entropy=PLAN if opened is None else opened.entropy)
    execution = Execution(planned, settings, opened)
    jobs = usual_jobs(settings, len(execution.todo)) if jobs is None else jobs
    warn_of_threads(jobs, threads)
    if dry_run or opened is None:
        execution.check()
        known = opened.records() if opened else []
        console.plan_table(planned, execution.done, estimate(execution.cells, known), jobs)
        return
    if not execution.todo:
        console.say(f"nothing to do: all {len(planned)} cells are in {store}", "green")
    else:
        if suite is None:
            chosen = {kind.removesuffix("s"): wanted or plan.DEFAULTS[kind] for kind, wanted in names.items()}
            _say_choices({**chosen, "editor": [editor] if editor else [], "seeds": [seeds or "1"]})
        if any(execution.done):
            console.say(f"{sum(execution.done)} of {len(planned)} cells are in {store} already")
    with execution:
        _launch(execution, opened, jobs, launcher)
    records = execution.records()
    _show(opened, records, details)
    _say_remarks(records)
    if log:
        from reports.trackers.log import log as write_runs

        for name, n in write_runs(list(dict.fromkeys(log)), records, opened, console.warn).items():
            console.say(f"{name}: {n} of {len(records)} cells written, the others are there already")
    failed = [r for r in records if r.status == "failed"]
    for record in failed:
        console.warn(f"failed: {in_short(record.cell)}: {first_line(record.error or 'no reason was recorded')}")
    if failed:
        raise typer.Exit(1)


def warn_of_threads(jobs: int, threads: int) -> None:
    """Say where workers together have more threads than there are cores: they would wait for one another."""
    if jobs * threads > cores() and jobs > 1:
        console.warn(f"{jobs} jobs of {threads} threads on {cores()} cores: use --threads {max(1, cores() // jobs)}.")


def _say_remarks(records: Sequence[Record]) -> None:
    """Say what each data source has to remark, once."""
    for record in {r.cell.scenario: r for r in records}.values():
        for remark in record.data_notes.get("remarks", ()):
            console.warn(f"{record.cell.name}: {remark}")


def _say_choices(chosen: dict[str, Sequence[str]]) -> None:
    parts = [f"{name} {', '.join(values)}" for name, values in chosen.items() if values]
    console.say("running " + " · ".join(parts), "dim")


def _launch(execution: Execution, store: Store, jobs: int, launcher: str) -> None:
    command = " ".join(["bench", *map(shlex.quote, sys.argv[1:])])
    execution.prepare(jobs, launcher)
    if not execution.todo:
        return
    from bench.cli.live import live

    wanted = frozenset(item.cell.row_key() for item in execution.planned if item.reason == plan.ASKED)

    def left(cells: Sequence[Cell], known: Sequence[Record]) -> float:
        return sum(estimate(cells, known)) / max(1, min(jobs, len(cells)))

    with live(execution.todo, wanted, execution.records(), store.evidence, left) as watch:
        execution.run(watch, command, launcher)


def _show(store: Store, records: list[Record], details: bool) -> None:
    from reports.rows import aggregate, calibration
    from reports.text import summary, terminal, trials

    splits = {r.split for r in records}  # reporting and tuning seeds stay apart
    if splits != {"judge-validation"}:
        rows = aggregate.rows(records, store.evidence)
        more = f"bench report --store {shlex.quote(str(store.root))} --details"
        console.out.print(terminal.terminal(rows) if details else summary.summary(rows, more))
        for failed in calibration.failed(rows):
            where = f"{failed.row.scenario} · {failed.row.model} · {failed.row.lock} × {failed.row.attack}"
            console.warn(f"control failed: {failed.control} ({where}): {failed.what}: {failed.meaning}")
    if "judge-validation" in splits:
        console.say("tuning seeds, judged on judge-validation images: no results", "yellow")
        console.out.print(trials.terminal(records))
