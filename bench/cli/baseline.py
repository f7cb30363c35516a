"""`bench baseline`: the file that a gate compares with. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import console
from bench.cli.gate import rows_and_seeds
from bench.cli.options import DEFAULT_STORE, PluginOption, StoreOption, SuiteRowsOption, plugin_files
from bench.errors import UserError
from bench.store import Store

app = typer.Typer(
    name="baseline", help="Save and show the file that a gate compares with: small, JSON, reviewable.",
    no_args_is_help=True,
)  # fmt: skip


@app.command("save")
def save(
    file: Annotated[Path, typer.Argument(help="where to write it, e.g. baselines/ci.json")],
    suite: SuiteRowsOption = None,
    store: StoreOption = DEFAULT_STORE,
    seeds: Annotated[
        str | None, typer.Option(help="only these seeds, a count or a range as 8:16", show_default="all of the store")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Save what a store measured, at least 8 seeds a row, as the file of a gate."""
    from reports.gate import snapshot

    plugin_files(plugin, suite)
    opened = Store(store, write=False)
    rows = rows_and_seeds(suite, None)[0]
    replicates = rows_and_seeds(None, seeds)[1]
    records = [r for r in opened.records() if replicates is None or r.cell.replicate in replicates]
    saved = snapshot.snapshot(records, opened.evidence, rows, suite)
    lacking = (rows or set()) - {row.row_key for row in saved.rows}
    if lacking:
        raise UserError(
            f"{len(lacking)} of the {len(rows or ())} rows of suite '{suite}' are not in {store}.",
            f"Run: bench run --suite {suite} --seeds {snapshot.SEEDS} --store {store}",
        )
    snapshot.check_complete(saved)
    snapshot.write(saved, file)
    console.say(f"wrote {file}: {len(saved.rows)} rows, seeds {', '.join(map(str, saved.seeds()))}", "green")


@app.command("show")
def show(file: Annotated[Path, typer.Argument(help="the file")]) -> None:
    """Show the rows of a gate's file: means and deviations between seeds."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from reports.gate import snapshot

    saved = snapshot.read(file)
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("UP", "LP", "RP", "oracle")
    for name in ("row", "seeds", *names):
        table.add_column(name, overflow="fold", justify="left" if name == "row" else "right")
    for row in saved.rows:
        shown = []
        for name in names:
            values = [seed.values[name] for seed in row.seeds.values() if name in seed.values]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            shown.append(f"{np.mean(values):.1f}{spread}" if values else "—")
        table.add_row(Text(row.words()), str(len(row.seeds)), *shown)
    console.out.print(table)
    created = max((seed.created for row in saved.rows for seed in row.seeds.values()), default="")
    console.say(
        f"schema {saved.record_schema}, ensemble {saved.ensemble or 'none'}, suite {saved.suite or 'any'}, "
        f"made {created[:19] or 'at an unknown time'} on {saved.machine or 'an unknown machine'}; "
        "means ± deviation between seeds, percent",
        "dim",
    )
