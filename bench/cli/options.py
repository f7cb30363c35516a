"""Options that several commands share, and how their values become plans and settings. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import plan, registry
from bench.cli import console
from bench.errors import UserError
from bench.paths import user_path

DEFAULT_STORE = Path("runs")
StoreOption = Annotated[Path, typer.Option("--store", help="folder of artefacts and records", show_default="runs")]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", help="a plugin file outside the packages (repeatable)")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", help="GROUP.NAME=VALUE; groups: task, lock, key, attack, threat, budget (repeatable)"
    ),
]
LocksOption = Annotated[list[str] | None, typer.Option("--lock", help="a lock by name (repeatable)")]
AttacksOption = Annotated[list[str] | None, typer.Option("--attack", help="an attack by name (repeatable)")]
TasksOption = Annotated[
    list[str] | None, typer.Option("--task", help="a data set, e.g. digits-m or folder:PATH (repeatable)")
]
ModelsOption = Annotated[
    list[str] | None, typer.Option("--model", help="an architecture: vit, cnn, or a timm name (repeatable)")
]
EditorOption = Annotated[
    str | None,
    typer.Option("--editor", help="miniature, a diffusers folder, or a hub name; the same as -p key.editor=NAME"),
]
SeedsOption = Annotated[
    str | None,
    typer.Option("--seeds", help="how many seeds, or a range as 0:3; from 1000 up: tuning", show_default="1"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda or cuda:N")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, max=1024, help="threads of each worker; part of the identity")
]
SuitePluginsOption = Annotated[
    str | None, typer.Option("--suite", help="know the plugins that this suite names: a name, or a .toml file")
]
EntropyOption = Annotated[
    str | None,
    typer.Option(
        "--entropy",
        envvar="LOCKBENCH_ENTROPY",
        help="what keys are drawn from, beside task and seed, in a new store; plan: nothing more",
        show_default="random, kept in the store",
    ),
]
SuiteRowsOption = Annotated[
    str | None, typer.Option("--suite", help="only the rows of this suite, controls included: a name, or a .toml file")
]


def plugin_files(plugins: Sequence[Path] | None, suite: str | None = None) -> tuple[str, ...]:
    """Full paths of the ``--plugin`` files and of those that ``suite`` names, each once.

    This process knows their plugins from now on.

    Raises:
        UserError: no such suite, or a path that cannot be one.
    """
    named = [*(plan.suite_plugins(suite) if suite is not None else ()), *(plugins or ())]
    files = dict.fromkeys(str(user_path(file).resolve()) for file in named)
    known = registry.use(files, run_guests=False)
    for warning in known.warnings():
        console.warn(warning)
    return known.files


def lines_of(
    names: Mapping[str, Sequence[str] | None],
    seeds: str | None,
    suite: str | None,
    params: Sequence[str] | None,
    editor: str | None = None,
    sweeps: Sequence[str] | None = None,
) -> list[plan.SuiteLine]:
    """What a command asks for: the lines of a suite, narrowed and with more parameters, or one line of its own.

    Args:
        names: locks, attacks, tasks and models that the command names.
    """
    values = plan.parse_params([*(params or []), *([f"key.editor={editor}"] if editor else [])])
    swept = plan.parse_sweeps(sweeps or [])
    if suite is None:
        chosen: dict[str, Any] = {kind: wanted or plan.DEFAULTS[kind] for kind, wanted in names.items()}
        return [plan.SuiteLine(**chosen, params=values, sweep=swept, replicates=plan.parse_seeds(seeds or "1"))]
    replicates = None if seeds is None else plan.parse_seeds(seeds)
    lines = plan.suite_lines(suite, names, replicates)
    return [replace(line, params={**line.params, **values}, sweep={**line.sweep, **swept}) for line in lines]


def device_of(name: str) -> str:
    """The device that ``name`` stands for: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: no such device.
    """
    if name == "cpu":
        return "cpu"
    if name != "auto" and re.fullmatch(r"cuda(:[0-9]{1,3})?", name) is None:
        raise UserError(f"--device {name} is not allowed.", "Use auto, cpu, cuda or cuda:N.")
    if name == "auto" and not any(any(Path("/dev").glob(node)) for node in ("nvidia[0-9]*", "dxg")):
        return "cpu"  # known without torch, which takes seconds to import
    import torch

    if torch.cuda.is_available() and int(name.partition(":")[2] or 0) < torch.cuda.device_count():
        return "cuda" if name == "auto" else name
    if name == "auto":
        return "cpu"
    raise UserError(f"--device {name}: torch sees no such device.", "Use --device cpu.")
