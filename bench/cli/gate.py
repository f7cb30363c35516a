"""`bench gate`: has a security number got worse? No torch here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import plan
from bench.api import rerun
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, PluginOption, SuiteRowsOption, plugin_files
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.store import Store

if TYPE_CHECKING:
    from bench.records import Record
    from reports.gate.asked import Asked
    from reports.gate.rule import Comparison


def gate(
    baseline: Annotated[Path, typer.Argument(help="file that `bench baseline save` wrote")],
    candidate: Annotated[Path, typer.Option(help="store to judge", show_default="runs")] = DEFAULT_STORE,
    suite: SuiteRowsOption = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="seeds of the candidate, a count or a range as 8:10", show_default="the suite's, or all"),
    ] = None,
    rate: Annotated[float, typer.Option(help="chance of a false alarm over the whole table")] = 0.01,
    must_see: Annotated[
        float | None, typer.Option(help="exit with 2 where a worsening by so many points could be missed")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML here, whatever the verdict")] = None,
    summary: Annotated[
        Path | None, typer.Option(help="append Markdown here, whatever the verdict, e.g. $GITHUB_STEP_SUMMARY")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Say whether a security number has got worse. Exit status 0: held; 1: regressed; 2: not comparable."""
    from reports.gate import output

    try:
        comparison = _compared(baseline, candidate, suite, seeds, rate, must_see, plugin)
        console.out.print(output.Report(comparison))
    except BaseException as error:  # Ctrl-C too: a file of an earlier run must not stand for this one
        message, remedy = (error.message, error.remedy) if isinstance(error, UserError) else (repr(error), "")
        _write(junit, output.junit_of_error(message, remedy), summary, output.markdown_of_error(message, remedy))
        raise
    _write(junit, output.junit(comparison), summary, output.markdown(comparison))
    if comparison.exit_status:
        raise typer.Exit(comparison.exit_status)


def _compared(
    baseline: Path,
    candidate: Path,
    suite: str | None,
    seeds: str | None,
    rate: float,
    must_see: float | None,
    plugin: list[Path] | None,
) -> Comparison:
    from reports.gate import controls, rule, snapshot
    from reports.gate.asked import Remake
    from reports.rows import aggregate

    if not 0 < rate <= 0.5:
        raise UserError(f"--rate {rate:g} is not allowed.", "Give a chance above 0 and at most 0.5, e.g. 0.01.")
    if must_see is not None and not (0 < must_see < 100 and math.isfinite(must_see)):
        raise UserError(f"--must-see {must_see:g} is not allowed.", "Give points above 0 and below 100, e.g. 10.")
    files = plugin_files(plugin, suite)
    before = snapshot.read(baseline)
    asked = rows_and_seeds(suite, seeds)
    opened = Store(candidate, write=False)
    records = [r for r in opened.verified() if asked.keeps(r)]
    after = snapshot.snapshot(records, opened.evidence)
    remake = Remake(candidate, suite or before.suite, after.threads or before.threads, plugin or ())
    wanted = {row.row_key for row in before.rows} if asked.rows is None else set(asked.rows)
    failed = controls.failed(records, opened.evidence, wanted)
    found = rule.compare(before, after, rate, asked, remake, failed, must_see)
    judged = [r for r in aggregate.current(records) if r.row_key in wanted and r.third_party is None]
    if others := [r for r in judged if _is_of_other_code(r, opened.entropy, files)]:
        found.warnings.insert(
            0,
            f"{len(others)} of {len(judged)} records of the candidate are not of the code, libraries and data here, so "
            f"nothing follows for these: bench why {others[0].hash[:10]} --store {candidate}",
        )
    return found


def _is_of_other_code(record: Record, entropy: str, files: tuple[str, ...]) -> bool:
    """Whether the cell of ``record`` would run again here, where that can be known."""
    try:
        return rerun.identity_here(record, entropy, files).record != record.hash
    except UserError:  # data or a plugin that is not here
        return False


def rows_and_seeds(suite: str | None, seeds: str | None) -> Asked:
    """The rows and seeds that a store is judged by: those of the suite, with ``seeds`` if given; without either, all.

    A store may hold other seeds that an older state of the code has left; averaged in, they would hide a regression.

    Raises:
        UserError: no such suite, no such seeds, or a suite without a cell.
    """
    from reports.gate.asked import Asked

    chosen = None if seeds is None else frozenset(plan.parse_seeds(seeds))
    if suite is None:
        return Asked(seeds=chosen)
    rows: dict[str, frozenset[int]] = {}
    names: dict[str, str] = {}
    for item in plan.build(plan.read_suite(suite)):
        if item.required:
            key = item.cell.row_key()
            rows[key] = chosen or rows.get(key, frozenset()) | {item.cell.replicate}
            names[key] = in_short(item.cell)
    if not rows:
        raise UserError(f"suite '{suite}' has no cell that must be run.", "Name another suite, or mend this one.")
    return Asked(suite, rows, names=names)


def _write(junit: Path | None, xml: str, summary: Path | None, markdown: str) -> None:
    """Write both files, as far as they can be written.

    Raises:
        UserError: one cannot; the other is written all the same.
    """
    failed: UserError | None = None
    for file, text, append in ((junit, xml, False), (summary, markdown, True)):
        if file is None:
            continue
        try:
            with file.open("a" if append else "w", encoding="utf-8", errors="replace") as out:
                out.write(text)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            failed = UserError(f"{file} cannot be written: {reason}.", "Name another file.")
    if failed is not None:
        raise failed
