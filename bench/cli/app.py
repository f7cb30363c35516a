"""The command line: one thin function a command. Nothing here imports torch before cells have to be run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import console
from bench.cli import gate as cli_gate
from bench.cli import report as cli_report
from bench.cli.gate import DEFAULT_STORE, StoreOption
from bench.errors import UserError

app = typer.Typer(
    name="bench",
    help="Run model locks against attacks, and print tables that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", help="a plugin file outside the packages (repeatable)")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", help="GROUP.NAME=VALUE; groups: task, lock, key, attack, threat, budget (repeatable)"
    ),
]

AsRunOption = Annotated[list[str] | None, typer.Option(help="as the suite was run with (repeatable)")]


@app.command()
def run(
    lock: Annotated[list[str] | None, typer.Option("--lock", help="lock to run (repeatable)")] = None,
    attack: Annotated[list[str] | None, typer.Option("--attack", help="attack to run (repeatable)")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="data set, e.g. digits-m or folder:PATH (repeatable)")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="architecture: vit, cnn, or a timm name (repeatable)")
    ] = None,
    editor: Annotated[
        str | None,
        typer.Option(help="miniature, a diffusers folder, or a hub name", show_default="miniature, or the suite's"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="how many seeds, or a range as 0:3; from 1000 up: tuning", show_default="1, or the suite's"),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="a suite by name, or a .toml file")] = None,
    param: ParamOption = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="GROUP.NAME=A,B,C: every value, e.g. threat.share=0.01,0.1 (repeatable)")
    ] = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda or cuda:N")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="cells at once, each in a process of its own")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="threads of each worker; part of a cell's identity")] = 2,
    launcher: Annotated[str, typer.Option(help="local, or ray")] = "local",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave out image files that cannot be read")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
) -> None:
    """Run locks against attacks. What is done already is not done again."""
    from bench import plan
    from bench.run.durations import seconds as estimate
    from bench.store import Store, identity

    files = [str(p.resolve()) for p in plugin or []]
    settings = identity.Settings(device=_device(device), threads=threads, skip_bad=skip_bad, plugin_files=tuple(files))
    rows = _rows(lock, attack, task, model, editor, seeds, suite, param, sweep)
    planned = plan.build(rows, files)
    if sweep:  # a sweep may start where the attack has nothing to work with: no labels, say
        planned, left = plan.accepted(planned, files)
        for cell in left:
            console.say(f"left out, it cannot run there: {console.in_short(cell)}", "yellow")
    cells = [p.cell for p in planned]
    if not cells:
        raise UserError(
            "none of these attacks can run there: they speak to another key, or the view lacks what they need.",
            "Ask for others: `bench list`, `bench show NAME`.",
        )
    hashes = [identity.of(cell, settings).hashes["record"] for cell in cells]
    opened = None if dry_run and not (store / "lockbench.json").exists() else Store(store, write=not dry_run)
    done = [opened is not None and _complete(opened, h) for h in hashes]
    if dry_run:
        console.plan_table(planned, done, estimate(cells, opened.records() if opened else []))
        return
    assert opened is not None
    opened.clean()
    opened.ask([hash for hash, d in zip(hashes, done, strict=True) if d])
    todo = [cell for cell, d in zip(cells, done, strict=True) if not d]
    if not todo:
        console.say(f"nothing to do: all {len(cells)} cells are in {store}", "green")
    else:
        if suite is None:
            _say_choices(lock, attack, task, model, editor or plan.DEFAULT_EDITOR, seeds or "1")
        if sum(done):
            console.say(f"{sum(done)} of {len(cells)} cells are in {store} already")
        _launch(todo, planned, opened, settings, jobs, launcher)
    records = [r for r in (opened.get(h) for h in hashes) if r is not None]
    _leaderboard(opened, records)
    failed = [r for r in records if r.status == "failed"]
    for record in failed:
        console.warn(f"failed: {console.in_short(record.cell)}: {(record.error or '').splitlines()[0]}")
    if failed:
        raise typer.Exit(1)


def _complete(store: Any, hash: str) -> bool:
    from bench.records import THIRD_PARTY

    record = store.get(hash)
    # Another's record is no measurement of ours: it is measured here when asked for.
    return record is not None and record.status != "failed" and THIRD_PARTY not in record.notes


def _rows(
    lock: list[str] | None,
    attack: list[str] | None,
    task: list[str] | None,
    model: list[str] | None,
    editor: str | None,
    seeds: str | None,
    suite: str | None,
    param: list[str] | None,
    sweep: list[str] | None = None,
) -> list[Any]:
    from dataclasses import replace

    from bench import plan

    params, swept = plan.parse_params(param or []), plan.parse_sweeps(sweep or [])
    chosen = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    if suite is None:
        filled: dict[str, Any] = {k: v or plan.DEFAULTS[k] for k, v in chosen.items()}
        return [
            plan.Row(
                **filled, params=params, sweep=swept, replicates=plan.parse_seeds(seeds or "1"),
                editor=editor or plan.DEFAULT_EDITOR,
            )
        ]  # fmt: skip
    replicates = None if seeds is None else plan.parse_seeds(seeds)
    rows = plan.suite_rows(suite, chosen, editor, replicates)
    return [replace(r, params={**r.params, **params}, sweep={**r.sweep, **swept}) for r in rows]


def _say_choices(*chosen: Any) -> None:
    from bench import plan

    names = ("lock", "attack", "task", "model", "editor", "seeds")
    said = []
    for name, value in zip(names, chosen, strict=True):
        default = plan.DEFAULTS.get(f"{name}s", [value])
        said.append(f"{name} {', '.join(value or default) if isinstance(value, list | None) else value}")
    console.say("running " + " · ".join(said) + "  (see `bench run --help` to change any)", "dim")


def _device(name: str) -> str:
    if name == "cpu":
        return "cpu"
    if name != "auto" and not name.startswith("cuda"):
        raise UserError(f"--device {name} is not allowed.", "Use auto, cpu, cuda or cuda:N.")
    if name == "auto" and not any(any(Path("/dev").glob(node)) for node in ("nvidia[0-9]*", "dxg")):
        return "cpu"  # known without torch, which takes seconds to import
    import torch

    if torch.cuda.is_available():
        return "cuda" if name == "auto" else name
    if name == "auto":
        return "cpu"
    raise UserError(f"--device {name}: torch sees no such device.", "Use --device cpu.")


def _launch(todo: list[Any], planned: list[Any], store: Any, settings: Any, jobs: int, launcher: str) -> None:
    from bench.editors.loading import find as find_editor
    from bench.plan import check_accepts
    from bench.run import forkserver as forks
    from bench.run.durations import seconds as estimate

    for editor in {cell.editor for cell in todo}:
        find_editor(editor)
    if launcher == "local" and jobs == 1:
        forks.start()  # `check_accepts` is the first to import torch
    check_accepts(planned, settings.plugin_files)
    command = " ".join(["bench", *map(shlex.quote, sys.argv[1:])])
    known = store.records()
    left = list(todo)
    with console.live(len(todo)) as live:
        live.expect(sum(estimate(left, known)))

        def done(record: Any) -> None:
            known.append(record)
            for i, cell in enumerate(left):
                if cell == record.cell:
                    del left[i]
                    break
            mark = {"ok": "[green]ok[/]", "invalid": "[yellow]invalid[/]", "failed": "[red]failed[/]"}[record.status]
            measured = "" if record.RP is None else f"  RP {record.RP.value:.1f}"
            spent = console.minutes(sum(record.provenance.seconds.values()))
            live.finished(f"{mark} {console.escape(console.in_short(record.cell))}{measured}  ({spent})")
            live.expect(sum(estimate(left, known)))

        if launcher == "ray":
            from bench.run.launchers import ray

            ray.launch(todo, store.root, settings, command, done)
        elif launcher != "local":
            raise UserError(f"no launcher '{launcher}'.", "Use local or ray.")
        elif jobs > 1:
            from bench.run.launchers import processes

            processes.launch(todo, store.root, settings, command, jobs, done)
        else:
            from bench.run.launchers import inline

            inline.launch(todo, store.root, settings, command, live.tell, done)


def _leaderboard(store: Any, records: list[Any]) -> None:
    from reports.rows import aggregate, trials
    from reports.text import terminal

    splits = {r.split for r in records}  # reporting and tuning seeds stay apart
    if splits != {"judge-validation"}:
        console.out.print(terminal.terminal(aggregate.rows(records, store.evidence)))
    if "judge-validation" in splits:
        console.say("tuning seeds, judged on judge-validation images: no results", "yellow")
        console.out.print(trials.terminal(records))


@app.command("list")
def list_(plugin: PluginOption = None) -> None:
    """Locks, attacks, keys, tasks, models, word lists and suites."""
    from bench import datasets, plan, registry
    from bench.editors.vocabulary import WORDLISTS
    from bench.miniature.public import PUBLIC

    files = plugin or []
    for kind in ("lock", "attack", "key"):
        infos = sorted(registry.find_all(kind, files).values(), key=lambda i: (i.role != "method", i.name))
        console.plugin_list(registry.PLURAL[kind], infos)
    console.named_list("tasks", datasets.CATALOGUE)
    console.named_list(
        "models", {n: f"timm {s['name']}, public weights in the miniature pack" for n, s in PUBLIC.items()}
    )
    console.named_list("word lists", dict.fromkeys(WORDLISTS, ""))
    console.named_list("suites", {n: f"bench run --suite {n}" for n in plan.suite_names()})


@app.command()
def show(name: str, plugin: PluginOption = None) -> None:
    """A lock, attack or key: paper, parameters with defaults and ranges, threat model, deviations."""
    from bench import registry
    from bench.threat import Budget, ThreatModel

    files = plugin or []
    found = [infos[name] for kind in ("lock", "attack", "key") if name in (infos := registry.find_all(kind, files))]
    if not found:
        import difflib

        known = {n: k for k in ("lock", "attack", "key") for n in registry.find_all(k, files)}
        near = difflib.get_close_matches(name, known, 2, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"no lock, attack or key '{name}'.{hint}", "See `bench list`.")
    for info in found:
        groups: dict[str, Any] = {info.kind: info.params}
        if info.kind == "lock":
            groups["key"] = registry.find("key", info.key, files).params
        if info.kind == "attack":
            groups |= {"threat": ThreatModel.params, "budget": Budget.params}
        console.plugin_page(info, groups)


@app.command()
def status(
    suite: Annotated[str | None, typer.Option(help="say what of this suite is done")] = None,
    lock: AsRunOption = None,
    attack: AsRunOption = None,
    task: AsRunOption = None,
    model: AsRunOption = None,
    editor: Annotated[str | None, typer.Option(help="as the suite was run with")] = None,
    seeds: Annotated[str | None, typer.Option(help="as the suite was run with")] = None,
    param: ParamOption = None,
    threads: Annotated[int, typer.Option(min=1, help="as the suite was run with; part of a cell's identity")] = 2,
    device: Annotated[str, typer.Option(help="as the suite was run with; part of a cell's identity")] = "auto",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """What the store holds; with --suite, what of it is done, failed or not measured."""
    from rich.table import Table

    from bench import plan
    from bench.store import Store, identity

    opened = Store(store, write=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("record", "cell", "state", "made"):
        table.add_column(name, overflow="fold")
    counts: dict[str, int] = {}
    if suite is None:
        for record in opened.records():
            counts[record.status] = counts.get(record.status, 0) + 1
            table.add_row(
                record.hash[:10], console.in_short(record.cell), record.status, record.provenance.created[:19]
            )
    else:
        settings = identity.Settings(device=_device(device), threads=threads)
        for item in plan.build(_rows(lock, attack, task, model, editor, seeds, suite, param)):
            hash = identity.of(item.cell, settings).hashes["record"]
            found = opened.get(hash)
            state = found.status if found else "not measured" if item.required else "not measured (optional)"
            counts[state] = counts.get(state, 0) + 1
            table.add_row(hash[:10], console.in_short(item.cell), state, found.provenance.created[:19] if found else "")
    console.out.print(table)
    console.say(", ".join(f"{n} {state}" for state, n in counts.items()) or f"{store} holds no records yet")


@app.command()
def why(
    cell: Annotated[str, typer.Argument(help="the start of a record's hash, as `bench status` shows it")],
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Why a cell would run again: what changed since its record was made."""
    from bench.store import Store, identity

    opened = Store(store, write=False)
    found = [r for r in opened.records() if r.hash.startswith(cell)]
    if not found:
        raise UserError(f"no record starts with '{cell}'.", "See `bench status` for the records there are.")
    for record in found:
        settings = identity.Settings(
            device=record.provenance.machine.split()[-1],
            threads=record.provenance.threads,
            plugin_files=tuple(str(p.resolve()) for p in plugin or []),
        )
        now = identity.of(record.cell, settings)
        console.say(console.in_short(record.cell))
        if now.hashes["record"] == record.hash:
            console.say(
                "  unchanged: it would not run again"
                + (", but it failed and will be tried again" if record.status == "failed" else "")
            )
            continue
        for line in _differences(record.provenance.inputs, now.inputs):
            console.say(f"  {line}")


def _differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Where two trees of inputs differ, parents' hashes apart (they only repeat what is said elsewhere)."""
    if isinstance(old, dict) and isinstance(new, dict):
        out = []
        for key in sorted({*old, *new}):
            if key != "parents":
                out += _differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        return out
    return [] if old == new else [f"{at}: {old} -> {new}"]


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="lock or attack")],
    name: Annotated[str, typer.Argument(help="its name, e.g. my-lock")],
    folder: Annotated[Path | None, typer.Option(help="where to write it; default: locks/ or attacks/ here")] = None,
) -> None:
    """Write a working plugin to start from; it passes conformance as it is."""
    from bench.cli import stubs

    file = stubs.write(kind, name, folder)
    console.say(f"wrote {file}", "green")
    console.say(f"try it: bench run --{kind} {name} --plugin {file}")


cli_report.register(app)
cli_gate.register(app)


def main() -> None:
    """The entry point: every expected error is one line with its remedy and exit status 2."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        console.fail(error)
        code = 2
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code = 130
    except KeyboardInterrupt:
        console.err.print("\nstopped. The same command continues where it stopped.")
        code = 130
    except BrokenPipeError:
        code = 0
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    format_message = getattr(error, "format_message", None)
    if format_message is not None:  # a usage error of the command line itself
        console.fail(UserError(format_message(), "See `bench --help`."))
        return 2
    if isinstance(error, OSError) and error.errno == 28:
        console.fail(UserError("no space left on the disk.", "Free some space; the run continues where it stopped."))
        return 2
    if os.environ.get("LOCKBENCH_DEBUG"):
        raise error
    console.fail(
        UserError(
            f"{type(error).__name__}: {error}",
            "This is a defect of LockBench: run again with LOCKBENCH_DEBUG=1 for the details and report them.",
        )
    )
    return 2


if __name__ == "__main__":
    main()
