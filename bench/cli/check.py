"""`bench check`: does a plugin of one's own keep the contract? No torch here before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import registry
from bench.cli import console
from bench.cli.options import PluginOption, plugin_files


def check(
    file: Annotated[Path, typer.Argument(help="a plugin file")],
    plugin: PluginOption = None,
) -> None:
    """Check a plugin file of your own: each plugin in it is run twice on a small task. Exit status 1: one failed."""
    files = plugin_files([file, *(plugin or [])])
    own = file.resolve()
    plugins = registry.current()
    infos = [info for kind in registry.KINDS for info in plugins.all(kind).values() if info.file.resolve() == own]
    from bench.guests import process as guests

    guests.start()  # before this process imports torch
    from bench.harness import conformance

    failed = 0
    for info in infos:
        console.say(f"{info.kind} {info.name}", "bold")
        checks = conformance.check(info, files)
        while True:
            with console.busy("running it on a small task"):
                found = next(checks, None)
            if found is None:
                break
            failed += not found.ok
            line = f"  {'ok    ' if found.ok else 'FAILED'} {found.name}"
            console.say(f"{line}: {found.detail}" if found.detail else line, "" if found.ok else "red")
    console.say(
        f"{failed} failed; see docs/how-to/add-a-lock.md, docs/how-to/add-an-attack.md"
        if failed
        else "all checks passed"
    )
    if failed:
        raise typer.Exit(1)
