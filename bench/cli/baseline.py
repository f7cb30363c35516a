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
    from reports.gate import controls, snapshot
    from reports.gate.asked import Remake

    plugin_files(plugin, suite)
    asked = rows_and_seeds(suite, seeds)
    opened = Store(store, write=False)
    chosen = rows_and_seeds(None, seeds)
    records = [r for r in opened.verified() if chosen.keeps(r)]
    saved = snapshot.snapshot(records, opened.evidence, asked.rows, suite)
    needed = chosen.seeds or (set(saved.seeds()) if len(saved.seeds()) >= snapshot.SEEDS else range(snapshot.SEEDS))
    remake = Remake(store, suite, saved.threads, plugin or ())(saved.rows[0] if saved.rows else None, sorted(needed))
    lacking = set(asked.rows or ()) - {row.row_key for row in saved.rows}
    if lacking:
        names = "; ".join(asked.names[key] for key in sorted(lacking))
        raise UserError(
            f"{len(lacking)} of the {len(asked.rows or ())} rows of suite '{suite}' are not in {store}: {names}.",
            f"Run: {remake}",
        )
    if chosen.seeds is not None and (absent := chosen.seeds - set(saved.seeds())):
        raise UserError(f"no row of {store} has seed {', '.join(map(str, sorted(absent)))}.", f"Run: {remake}")
    snapshot.check_complete(saved, remake=remake)
    wanted = {row.row_key for row in saved.rows}
    for failed in controls.failed(records, opened.evidence, wanted):
        raise UserError(f"{failed.name}: {failed.what}.", failed.remedy)
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
