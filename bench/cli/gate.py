"""`bench gate`: has a security number got worse? No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench import plan
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, PluginOption, SuiteRowsOption, plugin_files
from bench.errors import UserError
from bench.store import Store


def gate(
    baseline: Annotated[Path, typer.Argument(help="file that `bench baseline save` wrote")],
    candidate: Annotated[Path, typer.Option(help="store to judge", show_default="runs")] = DEFAULT_STORE,
    suite: SuiteRowsOption = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="seeds of the candidate, a count or a range as 8:10", show_default="the suite's, or all"),
    ] = None,
    rate: Annotated[float, typer.Option(help="chance of a false alarm over the whole table")] = 0.01,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML here")] = None,
    summary: Annotated[Path | None, typer.Option(help="append Markdown here, e.g. $GITHUB_STEP_SUMMARY")] = None,
    plugin: PluginOption = None,
) -> None:
    """Say whether a security number has got worse. Exit status 0: held; 1: regressed; 2: not comparable."""
    from reports.gate import output, rule, snapshot

    if not 0 < rate <= 0.5:
        raise UserError(f"--rate {rate:g} is not allowed.", "Give a chance above 0 and at most 0.5, e.g. 0.01.")
    plugin_files(plugin, suite)
    before = snapshot.read(baseline)
    opened = Store(candidate, write=False)
    rows, replicates = rows_and_seeds(suite, seeds)
    records = [r for r in opened.records() if replicates is None or r.cell.replicate in replicates]
    after = snapshot.snapshot(records, opened.evidence)
    name = suite or before.suite or "ci"
    remake = f"bench run --suite {name} --seeds 2 --store {candidate}"
    comparison = rule.compare(before, after, rate, rows, remake)
    console.out.print(output.Report(comparison))
    if junit is not None:
        _write(junit, output.junit(comparison), append=False)
    if summary is not None:
        _write(summary, output.markdown(comparison), append=True)
    if comparison.regressed:
        raise typer.Exit(1)


def rows_and_seeds(suite: str | None, seeds: str | None) -> tuple[set[str] | None, set[int] | None]:
    """Row keys and seeds a store is judged by: those of the suite, ``seeds`` if given, else all (None).

    A store may hold other seeds that an older state of the code has left; averaged in, they would hide a regression.
    """
    required: Sequence[plan.Planned] = [] if suite is None else plan.build(plan.read_suite(suite))
    cells = [p.cell for p in required if p.required]
    rows = {cell.row_key() for cell in cells} or None
    return rows, set(plan.parse_seeds(seeds)) if seeds is not None else {c.replicate for c in cells} or None


def _write(file: Path, text: str, append: bool) -> None:
    try:
        with file.open("a" if append else "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None
