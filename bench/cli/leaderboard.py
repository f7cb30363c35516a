"""`bench submit` and `bench leaderboard`: whether an archive may join the public table, and the table as a site."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import console
from bench.cli.options import PluginOption, plugin_files
from bench.errors import UserError
from bench.store import Store

if TYPE_CHECKING:
    from reports.board.finding import Finding, Submission

RECORDS = Path("leaderboard/records")
SITE = Path("leaderboard/site")
FORMATS = ("terminal", "md")

app = typer.Typer(
    name="leaderboard", help="Build the public table from the archives of a folder.", no_args_is_help=True
)


@app.command("build")
def build(
    records: Annotated[Path, typer.Option("--records", help="folder of archives, cards and checksums")] = RECORDS,
    out: Annotated[Path, typer.Option("--out", help="folder of the site; replaced whole")] = SITE,
    plugin: PluginOption = None,
) -> None:
    """Write the leaderboard as a static site: checksums verified, nothing of an archive executed."""
    from reports.board import site

    plugin_files(plugin)
    with console.busy("reading the archives"):
        built = site.write(records, out)
    for line in built.notes:
        console.warn(line)
    console.say(f"wrote {built.index}: {built.rows} rows of {built.submissions} submissions", "green")


@app.command("sums")
def sums(
    folder: Annotated[Path, typer.Argument(help="folder of archives and cards")] = RECORDS,
) -> None:
    """Write SHA256SUMS over the archives, cards and sources of a folder."""
    from reports.board import folder as folders

    n = folders.write_sums(folder)
    console.say(f"wrote {folder / folders.SUMS}: {n} files", "green")


def submit(
    file: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="what `bench export` wrote, beside its card")],
    rerun: Annotated[
        str, typer.Option(help="random, none, or the first digits of a record's hash: a cell to run again here")
    ] = "random",
    choice: Annotated[
        int | None, typer.Option(min=0, help="seed of the random choice", show_default="drawn, and printed")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="the rerun must give the same answers: for the machine of the archive")
    ] = False,
    plugin: PluginOption = None,
    entropy: Annotated[
        str | None, typer.Option(help="what keys were drawn from", show_default="as the card says, else plan")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="folder to run the cell in", show_default="a temporary one")
    ] = None,
    format: Annotated[str, typer.Option(help="terminal, or md for a pull request")] = "terminal",
) -> None:
    """Check an archive for the leaderboard, and print what a reviewer needs. Exit status 0: accepted; 1: refused."""
    if format not in FORMATS:
        raise UserError(f"no format '{format}'.", f"Formats: {', '.join(FORMATS)}.")
    files = plugin_files(plugin)
    from reports.board import checks, submission, summary

    with _folder(None) as folder:
        with console.busy("reading the archive"):
            opened, findings = submission.open_(file, Store(folder), [Path(f) for f in files], entropy)
            findings += [] if opened is None else checks.run(opened)
        if opened is not None:
            findings.append(_rerun(opened, rerun, choice, exact, files, store))
        if format == "md":
            console.raw(summary.markdown(file.name, findings, opened))
        else:
            _show(findings, opened)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _show(findings: Sequence[Finding], opened: Submission | None) -> None:
    from reports.board import summary
    from reports.text import summary as tables

    for line, good in summary.terminal(findings):
        console.say(line, "" if good else "red")
    if opened is not None:
        console.out.print(tables.summary(opened.rows, ""))
    console.say(summary.verdict_words(findings), "green" if all(f.ok for f in findings) else "bold red")


def _rerun(
    opened: Submission, cell: str, choice: int | None, exact: bool, files: tuple[str, ...], store: Path | None
) -> Finding:
    """What one cell says when it is run again here."""
    from bench.plan.wording import in_short
    from reports.board import rerun
    from reports.board.finding import Finding

    if cell == "none":
        return Finding("rerun", True, "no cell was run again, since none was asked for", skipped=True)
    seed = secrets.randbelow(2**31) if choice is None else choice
    chosen = rerun.choose(opened, cell, seed)
    if chosen is None:
        what = "no cell was run again, since none can be run from what is installed here"
        lines = ("a reviewer who has the data and the plugins runs one: --plugin, --rerun HASH",)
        return Finding("rerun", True, what, lines=lines, skipped=True)
    from bench.api import rerun as runs

    why = "named by the reviewer" if chosen.seed is None else f"drawn with --choice {chosen.seed} from {chosen.among}"
    line = f"{chosen.record.hash[:10]} {in_short(chosen.record.cell)}: {why}"
    with _folder(store) as folder:
        try:
            with console.busy(f"running {in_short(chosen.record.cell)}"):
                made, ours = runs.again(chosen.record, folder, files, opened.entropy)
        except UserError as error:
            return Finding("rerun", False, error.message, error.remedy, (line,))
        theirs = (chosen.record, opened.evidence(chosen.record))
        found = rerun.compare(theirs, (made, ours.evidence(made)), exact)
    return Finding(found.check, found.ok, found.what, found.remedy, (line, *found.lines))


@contextmanager
def _folder(store: Path | None) -> Iterator[Path]:
    """``store``, or a folder that is gone after the block."""
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="lockbench-") as name:
        yield Path(name) / "store"
