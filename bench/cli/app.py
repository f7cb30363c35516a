"""The command line: its commands, and what becomes of errors. No torch here before cells have to be run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

import typer

from bench.cli import archive, baseline, catalogue, console, doctor, gate, new, report, run, status, studies
from bench.errors import UserError
from bench.printable import printable
from bench.store.disk import is_full

app = typer.Typer(
    name="bench",
    help="Run model locks against attacks, and print tables that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "list": catalogue.list_,
    "show": catalogue.show,
    "status": status.status,
    "why": status.why,
    "new": new.new,
    "report": report.report,
    "gate": gate.gate,
    "export": archive.export,
    "import": archive.import_,
    "doctor": doctor.doctor,
    "ownership": studies.ownership,
    "compare": studies.compare,
    "key-grid": studies.key_grid,
    "fidelity": studies.fidelity,
    "false-alarms": studies.false_alarms,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(baseline.app)


class _Warnings(logging.Handler):
    """Warnings of the package, as the terminal shows them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        console.warn(record.getMessage())


_WARNINGS = _Warnings(logging.WARNING)


def main() -> None:
    """The entry point: every expected error is one line with its remedy and exit status 2."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bench").addHandler(_WARNINGS)
    try:
        _check_arguments()
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


def _check_arguments() -> None:
    for argument in sys.argv[1:]:
        if printable(argument) != argument and any("\ud800" <= c <= "\udfff" for c in argument):
            raise UserError(f"'{printable(argument)}' is not in UTF-8.", "Rename the file or folder, then try again.")


def _unexpected(error: Exception) -> int:
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
        place = printable(os.fsdecode(error.filename))
        console.fail(UserError(f"{place}: {error.strerror or type(error).__name__}.", "Name another path."))
        return 2
    console.fail(
        UserError(
            f"{type(error).__name__}: {error}",
            "This is a defect of LockBench: run again with LOCKBENCH_DEBUG=1 for the details and report them.",
        )
    )
    return 2
