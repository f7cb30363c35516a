"""`bench run`: run locks against attacks, and show what was measured."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated

import typer

from bench import plan
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
    device_of,
    lines_of,
    plugin_files,
)
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.records import Cell, Record
from bench.run.durations import seconds as estimate
from bench.store import Store, identity
from bench.store.settings import PLAN, Settings
from reports.rows.reasons import reason_of
from reports.text.escaping import first_line
from reports.text.escaping import markup as escape

LAUNCHERS = ("local", "ray")
_MARKS = {"ok": "[green]ok[/]", "invalid": "[yellow]invalid[/]", "failed": "[red]failed[/]"}


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
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="cells at once, each in a process of its own")] = 1,
    threads: ThreadsOption = 2,
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
) -> None:
    """Run locks against attacks. What is done already is not done again."""
    check_launcher(launcher)
    files = plugin_files(plugin, suite)
    settings = Settings(
        device=device_of(device),
        threads=threads,
        skip_bad=skip_bad,
        plugin_files=files,
        wall_limit=wall_limit or None,
        memory_limit=memory_limit,
    )
    warn_of_threads(jobs, threads)
    names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    planned = plan.build(lines_of(names, seeds, suite, param, editor, sweep))
    if sweep:  # a sweep may start where the attack has nothing to work with: no labels, say
        planned, left = plan.accepted(planned)
        for cell, reason in left:
            console.say(f"left out: {in_short(cell)}: {reason}", "yellow")
    if not planned:
        raise UserError(
            "none of these attacks can run there: they speak to another key, or the view lacks what they need.",
            "Ask for others: `bench list`, `bench show NAME`.",
        )
    opened = None
    if not dry_run:
        opened = Store(store, entropy=entropy)
    elif (store / "lockbench.json").exists():
        opened = Store(store, write=False, entropy=entropy)
    settings = replace(settings, entropy=PLAN if opened is None else opened.entropy)
    cells = [p.cell for p in planned]
    hashes = [identity.of(cell, settings).record for cell in cells]
    done = [opened is not None and (stored := opened.get(h)) is not None and stored.complete for h in hashes]
    todo = [cell for cell, d in zip(cells, done, strict=True) if not d]
    if dry_run or opened is None:
        _check(todo, planned)
        console.plan_table(planned, done, estimate(cells, opened.records() if opened else []))
        return
    opened.clean()
    opened.reuse([hash for hash, d in zip(hashes, done, strict=True) if d])
    if not todo:
        console.say(f"nothing to do: all {len(cells)} cells are in {store}", "green")
    else:
        if suite is None:
            chosen = {kind.removesuffix("s"): wanted or plan.DEFAULTS[kind] for kind, wanted in names.items()}
            _say_choices({**chosen, "editor": [editor] if editor else [], "seeds": [seeds or "1"]})
        if sum(done):
            console.say(f"{sum(done)} of {len(cells)} cells are in {store} already")
        _launch(todo, planned, opened, settings, jobs, launcher)
    records = [r for r in (opened.get(h) for h in hashes) if r is not None]
    _show(opened, records)
    for record in {r.cell.scenario: r for r in records}.values():
        for remark in record.data_notes.get("remarks", ()):
            console.warn(f"{record.cell.name}: {remark}")
    failed = [r for r in records if r.status == "failed"]
    for record in failed:
        console.warn(f"failed: {in_short(record.cell)}: {first_line(record.error or 'no reason was recorded')}")
    if failed:
        raise typer.Exit(1)


def warn_of_threads(jobs: int, threads: int) -> None:
    """Say where workers together have more threads than there are cores: they would wait for one another."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs * threads > cores and jobs > 1:
        console.warn(f"{jobs} jobs of {threads} threads on {cores} cores: use --threads {max(1, cores // jobs)}.")


def _say_choices(chosen: dict[str, Sequence[str]]) -> None:
    parts = [f"{name} {', '.join(values)}" for name, values in chosen.items() if values]
    console.say("running " + " · ".join(parts) + "  (see `bench run --help` to change any)", "dim")


def _launch(
    todo: list[Cell], planned: list[plan.Planned], store: Store, settings: Settings, jobs: int, launcher: str
) -> None:
    from bench.guests import process as guests

    if launcher == "local" and jobs == 1:
        guests.start()  # `_check` is the first to import torch
    _check(todo, planned)
    _find_editors(todo)
    command = " ".join(["bench", *map(shlex.quote, sys.argv[1:])])
    known = store.records()
    left = list(todo)
    with console.live(len(todo)) as live:
        live.expect(sum(estimate(left, known)))

        def done(record: Record) -> None:
            known.append(record)
            left[:] = [cell for cell in left if cell != record.cell]
            measured = "" if record.RP is None or record.status != "ok" else f"  RP {record.RP.value:.1f}"
            if record.status == "invalid":  # its numbers are no results
                measured = f"  {escape(reason_of(record))}"
            spent = console.minutes(sum(record.provenance.seconds.values()))
            text = escape(in_short(record.cell))
            live.finished(f"{_MARKS[record.status]} {text}{measured}  ({spent})")
            live.expect(sum(estimate(left, known)))

        if launcher == "ray":
            from bench.run.launchers import ray

            ray.launch(todo, store.root, settings, command, done)
        elif jobs > 1:
            from bench.run.launchers import processes

            processes.launch(todo, store.root, settings, command, jobs, done)
        else:
            from bench.run.launchers import inline

            inline.launch(todo, store.root, settings, command, live.update, done)


def check_launcher(launcher: str) -> None:
    """Whether there is such a launcher, and what it needs is installed.

    Raises:
        UserError: there is not.
    """
    if launcher not in LAUNCHERS:
        raise UserError(f"no launcher '{launcher}'.", f"Use {' or '.join(LAUNCHERS)}.")
    if launcher == "ray" and find_spec("ray") is None:
        raise UserError("ray is not installed.", "Install it: pip install 'lockbench[ray]'")


def _check(todo: Sequence[Cell], planned: Sequence[plan.Planned]) -> None:
    """What a plan promises can run, as far as it is known before: the same for a dry run and a run."""
    plan.check(todo)
    plan.check_accepts(planned)


def _find_editors(cells: Sequence[Cell]) -> None:
    """Fetch the editors that are not here before anything runs."""
    from bench.editors.loading import find

    for editor in {cell.editor for cell in cells if "editor" in cell.key.params}:
        find(editor)


def _show(store: Store, records: list[Record]) -> None:
    from reports.rows import aggregate, calibration
    from reports.text import terminal, trials

    splits = {r.split for r in records}  # reporting and tuning seeds stay apart
    if splits != {"judge-validation"}:
        rows = aggregate.rows(records, store.evidence)
        console.out.print(terminal.terminal(rows))
        for failed in calibration.failed(rows):
            where = f"{failed.row.scenario} · {failed.row.model} · {failed.row.lock} × {failed.row.attack}"
            console.warn(f"control failed: {failed.control} ({where}): {failed.what}: {failed.meaning}")
    if "judge-validation" in splits:
        console.say("tuning seeds, judged on judge-validation images: no results", "yellow")
        console.out.print(trials.terminal(records))
