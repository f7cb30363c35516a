"""The commands that leave the suite: `bench gate`, `bench baseline`, `bench export`, `bench import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import console
from bench.errors import UserError

DEFAULT_STORE = Path("runs")
StoreOption = Annotated[Path, typer.Option("--store", help="folder of artefacts and records", show_default="runs")]
SuiteOption = Annotated[
    str | None, typer.Option(help="only the rows of this suite, controls included: a name, or a .toml file")
]

baseline_app = typer.Typer(
    name="baseline", help="What a gate compares with: a small reviewable JSON file.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.add_typer(baseline_app)
    app.command()(gate)
    app.command("export")(export)
    app.command("import")(import_)


def _asked(suite: str | None, seeds: str | None) -> tuple[set[str] | None, set[int] | None]:
    """Row keys and seeds a candidate is judged by: those of the suite, ``seeds`` if given, else all (None).

    A store may hold other seeds that an older state of the code has left; averaged in, they would hide a regression.
    """
    from bench import plan

    required = [] if suite is None else [p.cell for p in plan.build(plan.read_suite(suite)) if p.required]
    rows = {cell.row_key() for cell in required} or None
    return rows, set(plan.parse_seeds(seeds)) if seeds is not None else {c.replicate for c in required} or None


def gate(
    baseline: Annotated[Path, typer.Argument(help="file that `bench baseline save` wrote")],
    candidate: Annotated[Path, typer.Option(help="store to judge", show_default="runs")] = DEFAULT_STORE,
    suite: SuiteOption = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="seeds of the candidate, a count or a range as 8:10", show_default="the suite's, or all"),
    ] = None,
    rate: Annotated[float, typer.Option(help="chance of a false alarm over the whole table")] = 0.01,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML here")] = None,
    summary: Annotated[Path | None, typer.Option(help="append Markdown here, e.g. $GITHUB_STEP_SUMMARY")] = None,
) -> None:
    """Has a security number got worse? Exit status 0: held; 1: regressed; 2: not comparable."""
    from bench.store import Store
    from reports.gate import output as gate_output
    from reports.gate import rule as rule
    from reports.gate import snapshot as saved

    if not 0 < rate <= 0.5:
        raise UserError(f"--rate {rate:g} is not allowed.", "Give a chance above 0 and at most 0.5, e.g. 0.01.")
    before = saved.read(baseline)
    opened = Store(candidate, write=False)
    expected, asked = _asked(suite, seeds)
    records = [r for r in opened.records() if asked is None or r.cell.replicate in asked]
    after = saved.snapshot(records, opened.evidence)
    name = suite or before.suite or "ci"
    remake = f"bench run --suite {name} --seeds 2 --store {candidate}"
    outcome = rule.compare(before, after, rate, expected, remake)
    console.out.print(gate_output.Report(outcome))
    for file, text in ((junit, gate_output.junit), (summary, gate_output.markdown)):
        if file is not None:
            _write(file, text(outcome), append=file is summary)
    if outcome.regressed:
        raise typer.Exit(1)


def _write(file: Path, text: str, append: bool) -> None:
    try:
        with file.open("a" if append else "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None


@baseline_app.command("save")
def save(
    file: Annotated[Path, typer.Argument(help="where to write it, e.g. baselines/ci.json")],
    suite: SuiteOption = None,
    store: StoreOption = DEFAULT_STORE,
    seeds: Annotated[
        str | None, typer.Option(help="only these seeds, a count or a range as 8:16", show_default="all of the store")
    ] = None,
) -> None:
    """Save what a store measured, at least 8 seeds a row, as the baseline of a gate."""
    from bench.store import Store
    from reports.gate import snapshot as saved

    opened = Store(store, write=False)
    rows = _asked(suite, None)[0]
    wanted = _asked(None, seeds)[1]
    records = [r for r in opened.records() if wanted is None or r.cell.replicate in wanted]
    taken = saved.snapshot(records, opened.evidence, rows, suite)
    lacking = (rows or set()) - {row.row_key for row in taken.rows}
    if lacking:
        raise UserError(
            f"{len(lacking)} of the {len(rows or ())} rows of suite '{suite}' are not in {store}.",
            f"Run: bench run --suite {suite} --seeds {saved.SEEDS} --store {store}",
        )
    saved.check_complete(taken)
    saved.write(taken, file)
    console.say(f"wrote {file}: {len(taken.rows)} rows, seeds {', '.join(map(str, taken.seeds()))}", "green")


@baseline_app.command("show")
def show(file: Annotated[Path, typer.Argument(help="the baseline")]) -> None:
    """The rows of a baseline: means and deviations between seeds."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from reports.gate import snapshot as saved

    told = saved.read(file)
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("UP", "LP", "RP", "oracle")
    for name in ("row", "seeds", *names):
        table.add_column(name, overflow="fold", justify="left" if name == "row" else "right")
    for row in told.rows:
        shown = []
        for name in names:
            values = [seed.values[name] for seed in row.seeds.values() if name in seed.values]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            shown.append(f"{np.mean(values):.1f}{spread}" if values else "—")
        table.add_row(Text(row.words()), str(len(row.seeds)), *shown)
    console.out.print(table)
    made = max((seed.created for row in told.rows for seed in row.seeds.values()), default="")
    console.say(
        f"schema {told.record_schema}, ensemble {told.ensemble or 'none'}, suite {told.suite or 'any'}, "
        f"made {made[:19] or 'at an unknown time'} on {told.machine or 'an unknown machine'}; "
        "means ± deviation between seeds, percent",
        "dim",
    )


def export(
    store: Annotated[Path, typer.Argument(help="the store")],
    file: Annotated[Path, typer.Argument(help="one file to write, e.g. records.zip")],
) -> None:
    """Write the records of a store, with their evidence and checksums, as one file that others can import."""
    from bench.store import Store
    from bench.store import archive as exchange

    n = exchange.export(Store(store, write=False), file)
    console.say(f"wrote {file}: {n} records with their evidence", "green")


def import_(
    file: Annotated[Path, typer.Argument(help="what `bench export` wrote")],
    store: Annotated[Path, typer.Option("--store", help="folder to add the records to")] = DEFAULT_STORE,
) -> None:
    """Add another's records to a store: checksums verified, nothing executed, rows marked third-party."""
    from bench.store import Store
    from bench.store import archive as exchange

    said: Any = exchange.load(file, Store(store))
    console.say(f"{store}: {said.added} records added, {said.known} already there", "green")
    if said.added:
        console.say("they are marked third-party: their numbers were not measured here", "yellow")
