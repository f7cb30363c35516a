"""`bench new`: write a working plugin to start from. No torch here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import console, stubs


def new(
    kind: Annotated[str, typer.Argument(help="lock, attack or task")],
    name: Annotated[str, typer.Argument(help="its name, e.g. my-lock")],
    folder: Annotated[
        Path | None,
        typer.Option(help="folder to write it to; default: locks, attacks or bench/datasets, below the working folder"),
    ] = None,
) -> None:
    """Write a working plugin to start from; it passes conformance as it is."""
    file = stubs.write(kind, name, folder)
    console.say(f"wrote {file}", "green")
    plugin = "" if stubs.is_found(kind, file) else f" --plugin {shlex.quote(str(file))}"
    console.say(f"try it: bench run --{kind} {name}{plugin}")
