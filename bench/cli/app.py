"""The command line: its commands, and what becomes of errors. No torch here before cells have to be run."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from bench import __version__
from bench.cli import (
    archive,
    audit,
    baseline,
    catalogue,
    check,
    console,
    doctor,
    gate,
    leaderboard,
    new,
    prepare,
    report,
    reproduce,
    run,
    status,
    stopping,
    studies,
    zoo,
)
from bench.errors import UserError
from bench.legible import visible
from bench.store.disk import is_full

app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "reproduce": reproduce.reproduce,
    "audit": audit.audit,
    "list": catalogue.list_,
    "show": catalogue.show,
    "prepare": prepare.prepare,
    "status": status.status,
    "why": status.why,
    "new": new.new,
    "check": check.check,
    "report": report.report,
    "gate": gate.gate,
    "export": archive.export,
    "import": archive.import_,
    "submit": leaderboard.submit,
    "doctor": doctor.doctor,
    "ownership": studies.ownership,
    "compare": studies.compare,
    "key-grid": studies.key_grid,
    "contributions": studies.contributions,
    "edit-sizes": studies.edit_sizes,
    "prompts": studies.prompts,
    "fidelity": studies.fidelity,
    "false-alarms": studies.false_alarms,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(baseline.app)
app.add_typer(leaderboard.app)
app.add_typer(zoo.app)


class _Lines(logging.Handler):
    """Warnings of the package, and what it fetches, as the terminal shows them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        show = console.warn if record.levelno >= logging.WARNING else console.note
        show(record.getMessage())


_LINES = _Lines(logging.INFO)


def versions() -> str:
    """LockBench's version, and those of Python and torch; imports no torch."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "not installed"
    return f"LockBench {__version__}, Python {platform.python_version()}, torch {torch}"


def _show_versions(wanted: bool) -> None:
    if wanted:
        console.raw(versions())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, and those of Python and torch.",
            is_eager=True,
            callback=_show_versions,
        ),
    ] = False,
) -> None:
    """Run model locks against attacks, and print tables that can be trusted."""


def check_arguments(arguments: Sequence[str]) -> None:
    """Whether every argument is text that can be printed and kept.

    Raises:
        UserError: one is no UTF-8, or holds a NUL.
    """
    for argument in arguments:
        if "\0" in argument:
            raise UserError(f"the argument {argument!r} holds a NUL.", "Write it without.")
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"the argument {argument!r} is no UTF-8.", "Give the file or folder another name."
            ) from None


def main() -> None:
    """Run a command: every expected error is one line with its remedy and exit status 2."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bench").addHandler(_LINES)
    try:
        check_arguments(sys.argv[1:])
        code = _call()
    except UserError as error:
        console.fail(error)
        code = 2
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code = 130
    except KeyboardInterrupt:  # where nobody listens for signals: a notebook, a test
        code = stopping.answer()
    except BrokenPipeError:
        code = 0
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _call() -> object:
    """Run the command. What a library makes of the signal that stops it is no error."""
    try:
        return app(standalone_mode=False)
    except Exception:
        if stopping.asked():
            raise stopping.Stopped from None
        raise


def _unexpected(error: Exception) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # `bench` alone; the help is printed already
        return 0
    format_message = getattr(error, "format_message", None)
    if format_message is not None:  # a usage error of the command line itself
        console.fail(UserError(format_message(), "See `bench --help`."))
        return 2
    if is_full(error):
        console.fail(UserError("no space left on the disk.", "Free some space; the run continues where it stopped."))
        return 2
    if os.environ.get("LOCKBENCH_DEBUG"):
        raise error
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        place = visible(os.fsdecode(error.filename))
        console.fail(UserError(f"{place}: {error.strerror or type(error).__name__}.", "Name another path."))
        return 2
    console.fail(
        UserError(
            f"{type(error).__name__}: {error}",
            "This is a defect of LockBench: run again with LOCKBENCH_DEBUG=1 for the details and report them.",
        )
    )
    return 2
