"""The page of the command line, from the commands' own help: ``python -m tools.site.cli > docs/reference/cli.md``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from bench.cli.app import app

HEADER = """# Command line

`make docs` writes this page from the help of the commands. `bench COMMAND --help` prints the same.

| exit status | when |
|---|---|
| 0 | the command did what it was asked for; `bench audit` also where an attack opens the checkpoint |
| 1 | `run`, `reproduce`, `audit`: a cell failed or is invalid; `gate`: a number got worse |
| 1 | `doctor`: something was found |
| 1 | `prepare`: something required is missing; `check`: a plugin failed |
| 1 | `submit`: refused; `zoo check`: an entry does not hold |
| 2 | the user has to mend something, and the message names the remedy; `gate`: not comparable |
"""


def page() -> str:
    """The whole page as Markdown: every command with its arguments and options."""
    root = typer.main.get_command(app)
    commands = list(_commands(root, typer.Context(root, info_name="bench")))
    rows = [f"| [`{path}`](#{path.replace(' ', '-')}) | {_cell(_summary(command))} |" for path, command, _ in commands]
    overview = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n".join([HEADER, overview, "", *(_section(*found) for found in commands)])


def _commands(command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every command below ``command`` that does something: its words, itself and its context."""
    for name, inner in getattr(command, "commands", {}).items():
        below = typer.Context(inner, info_name=name, parent=context)
        if hasattr(inner, "commands"):
            yield from _commands(inner, below)
        else:
            yield below.command_path.split(" [", maxsplit=1)[0], inner, below


def _section(path: str, command: Any, context: Any) -> str:
    """One command as a section."""
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parameters = [p.get_help_record(context) for p in command.get_params(context) if p.name != "help"]
    rows = [f"| {_code(names)} | {_cell(meaning)} |" for names, meaning in filter(None, parameters)]
    table = ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []
    text = re.sub(r"(?m)^[ \t]+", "", command.help or "").replace("\b", "").strip()
    return "\n".join([f"## {path}", "", text, "", "```console", f"$ {usage}", "```", "", *table])


def _summary(command: Any) -> str:
    """The first sentence of a command's help."""
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", first)[0]


def _code(names: str) -> str:
    return "`" + names.replace("|", r"\|") + "`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(page())
