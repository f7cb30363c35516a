"""`bench run`: run locks against attacks, and show what was measured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from bench import plan
from bench import precision as precisions
from bench.api import request
from bench.api.execution import Execution, Where, check_launcher
from bench.cli import console
from bench.cli.options import (
    DEFAULT_STORE,
    AttacksOption,
    DeviceOption,
    EditorOption,
    EntropyOption,
    JobsOption,
    LocksOption,
    ModelsOption,
    ParamOption,
    PluginOption,
    PrecisionOption,
    SeedsOption,
    StoreOption,
    TasksOption,
    ThreadsOption,
    WeightsOption,
    jobs_of,
    plugin_files,
)
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.records import Record
from bench.store import Store
from bench.store.settings import Settings


def run(
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    weights: WeightsOption = None,
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
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "float32",
    launcher: Annotated[str, typer.Option(help="local, ray or slurm: which machines run the stages")] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="of a ray cluster: auto, or HOST:PORT of its head", show_default="this machine alone"),
    ] = None,
    gpus_per_cell: Annotated[
        float, typer.Option(min=0.01, max=64, help="of a stage on a cluster; 0.25 lets four share a GPU")
    ] = 1.0,
    slurm: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for sbatch: partition, time (minutes), mem (GB), account, ... (repeatable)"),
    ] = None,
    wall_limit: Annotated[
        float | None, typer.Option(min=0, help="wall seconds of a stage in a plugin's process; 0: no limit")
    ] = 7200.0,
    memory_limit: Annotated[
        float | None, typer.Option(min=0.1, help="GB that a plugin's process may allocate", show_default="no limit")
    ] = None,
    entropy: EntropyOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave out image files that cannot be read")] = False,
    required: Annotated[
        bool, typer.Option("--required", help="leave out the cells that the suite calls optional")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    details: Annotated[bool, typer.Option("--details", help="show intervals, threat models, costs and notes")] = False,
    log: Annotated[
        list[str] | None, typer.Option("--log", help="write each cell to a tracker too: mlflow or wandb (repeatable)")
    ] = None,
) -> None:
    """Run locks against attacks. What is done already is not done again."""
    where = Where(launcher, address, gpus_per_cell, _slurm_options(slurm or ()))
    check_launcher(where)
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
        precision=precision,
    )
    precisions.check(precision, settings.device)
    names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    planned = plan.build(request.lines_of(names, seeds, suite, param, editor, sweep, weights))
    if required:
        planned = [item for item in planned if item.required]
        if not planned:
            raise UserError("every cell of this plan is optional.", "Leave out --required.")
    if sweep:  # a sweep may start where the attack has nothing to work with: no labels, say
        planned, left = plan.accepted(planned)
        for cell, reason in left:
            console.say(f"left out: {in_short(cell)}: {reason}", "yellow")
    if not planned:
        raise UserError(request.NOTHING, request.OTHERS)
    execution = Execution.on(planned, settings, store, entropy, writes=not dry_run)
    cards = request.cards_of(device)
    at_once = jobs_of(jobs, settings, len(execution.todo), len(cards))
    if dry_run:
        execution.check()
        console.plan_table(planned, execution.done, execution.graph, at_once)
        return
    if not execution.todo:
        console.say(f"nothing to do: all {len(planned)} cells are in {store}", "green")
    else:
        if suite is None:
            chosen = {kind.removesuffix("s"): used for kind, used in request.chosen_of(names).items()}
            more = {"weights": weights, "editor": editor, "seeds": seeds or "1"}
            _say_choices({**chosen, **{name: [value] for name, value in more.items() if value}})
        if any(execution.done):
            console.say(f"{sum(execution.done)} of {len(planned)} cells are in {store} already")
    from bench.cli import live

    records = live.follow(execution, jobs, where, cards)
    _show(execution.opened, records, details)
    live.say_remarks(records)
    if log:
        from reports.trackers.log import log as write_runs

        for name, n in write_runs(list(dict.fromkeys(log)), records, execution.opened, console.warn).items():
            console.say(f"{name}: {n} of {len(records)} cells written, the others are there already")
    live.end(records)


def _slurm_options(values: Sequence[str]) -> dict[str, str]:
    out = {}
    for value in values:
        name, is_set, own = value.partition("=")
        if not is_set or not name.strip():
            raise UserError(f"--slurm {value} has no value.", "Write NAME=VALUE, e.g. --slurm partition=gpu")
        out[name.strip().lstrip("-")] = own.strip()
    return out


def _say_choices(chosen: dict[str, Sequence[str]]) -> None:
    parts = [f"{name} {', '.join(values)}" for name, values in chosen.items() if values]
    console.say("running " + " · ".join(parts), "dim")


def _show(store: Store, records: list[Record], details: bool) -> None:
    from bench.cli import live
    from reports.rows import stored
    from reports.text import summary, terminal, trials

    splits = {r.split for r in records}  # reporting and tuning seeds stay apart
    if splits != {"judge-validation"}:
        rows = stored.of_plan(store, records)
        more = f"bench report --store {shlex.quote(str(store.root))} --details"
        console.out.print(terminal.terminal(rows) if details else summary.summary(rows, more))
        live.say_failed_controls(rows)
    if "judge-validation" in splits:
        console.say("tuning seeds and judge-validation images: they choose settings and are not results", "yellow")
        console.out.print(trials.terminal(records))
