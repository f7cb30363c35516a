"""Options that several commands share, and how their values become plans and settings. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.api import request
from bench.api.execution import cores, usual_jobs
from bench.cli import console
from bench.store.settings import Settings

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
LocksOption = Annotated[
    list[str] | None, typer.Option("--lock", help="a lock by name (repeatable); without a suite: modellock")
]
AttacksOption = Annotated[
    list[str] | None, typer.Option("--attack", help="an attack by name (repeatable); without a suite: prompt-search")
]
TasksOption = Annotated[
    list[str] | None, typer.Option("--task", help="a data set, e.g. digits-m or folder:PATH (repeatable)")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", help="an architecture: vit, cnn, a timm name, or unet:cnn for masks (repeatable)"),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="public weights of the model: a file, hf-hub:OWNER/NAME, a tag, efficientnet-lite0, or none",
        show_default="those of the model",
    ),
]
EditorOption = Annotated[
    str | None,
    typer.Option("--editor", help="miniature, a diffusers folder, or a hub name; the same as -p key.editor=NAME"),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=1024,
        help="stages at once, each in a process of its own",
        show_default="one a core of the CPU, up to 8; one a GPU",
    ),
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        help="how many seeds, or a range as 0:3; from 1000 up: tuning",
        show_default="1, or those of the suite",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda, cuda:N, or cuda:N,M for several cards"),
]
ThreadsOption = Annotated[
    int,
    typer.Option("--threads", min=1, max=1024, help="threads of each job; numbers depend on it"),
]
PrecisionOption = Annotated[
    str,
    typer.Option("--precision", help="of training: float32, tf32 or bf16; numbers depend on it, and no judge uses it"),
]
SuitePluginsOption = Annotated[
    str | None, typer.Option("--suite", help="know the plugins that this suite names: a name, or a .toml file")
]
EntropyOption = Annotated[
    str | None,
    typer.Option(
        "--entropy",
        envvar="LOCKBENCH_ENTROPY",
        help="what a new store draws keys from, beside task and seed; plan: nothing else",
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
    files, warnings = request.plugins(plugins or (), suite)
    for warning in warnings:
        console.warn(warning)
    return files


def jobs_of(wanted: int | None, settings: Settings, cells: int, cards: int = 1) -> int:
    """How many stages run at once; warns where they have more threads than there are cores and wait for one another.

    Args:
        wanted: what the user says; None: the usual number.
        settings: how stages are computed.
        cells: how many there are to do.
        cards: how many GPUs they are spread over.
    """
    jobs = usual_jobs(settings, cells, cards) if wanted is None else wanted
    here, threads = cores(), settings.threads
    if jobs * threads > here and jobs > 1:
        console.warn(f"{jobs} jobs of {threads} threads on {here} cores: use --threads {max(1, here // jobs)}.")
    return jobs
