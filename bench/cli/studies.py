"""Studies over stores: ownership claims, two stores side by side, key conditions, false alarms, the fidelity page.

No torch here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import plan
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, StoreOption, SuiteRowsOption, plugin_files
from bench.errors import UserError
from bench.store import Store


def ownership(store: StoreOption = DEFAULT_STORE) -> None:
    """Claim ownership of the marked and unmarked models of a store (suite ownership)."""
    from reports.tools import ownership

    opened = Store(store, write=False)
    claims = ownership.claims(opened.records(), opened.evidence)
    if not claims:
        raise UserError("the store has no model to claim.", "Run: bench run --suite ownership")
    console.out.print(ownership.table(claims))


def compare(
    first: Annotated[Path, typer.Argument(help="a store")],
    second: Annotated[Path, typer.Argument(help="another store")],
) -> None:
    """Compare the cells that two stores both measured, as Markdown."""
    from reports.tools import compare_stores

    pairs = compare_stores.pairs(*(Store(store, write=False).records() for store in (first, second)))
    if not pairs:
        raise UserError("The two stores have no cell in common.", "Run the same suite with both: --store A, --store B")
    console.raw(compare_stores.markdown(pairs))


def key_grid(
    store: StoreOption = DEFAULT_STORE,
    lock: Annotated[str, typer.Option(help="the lock")] = "modellock",
) -> None:
    """Show key conditions by kind, data set and model, as Markdown."""
    from reports.tools import key_grid

    grid = key_grid.grid(Store(store, write=False).records(), lock)
    if not grid:
        raise UserError(f"{store} has no key conditions of {lock}.", f"Run: bench run --lock {lock}")
    console.raw(key_grid.markdown(grid))


def fidelity() -> None:
    """Write the page on what each paper says and what is done here, as Markdown."""
    from reports.tools import fidelity

    console.raw(fidelity.page())


def false_alarms(
    source: Annotated[Path, typer.Argument(help="a store, or a file that `bench baseline save` wrote")],
    suite: SuiteRowsOption = None,
    pairs: Annotated[int, typer.Option(min=500, help="pairs for each way of sampling")] = 2000,
    rate: Annotated[float, typer.Option(help="the gate's stated rate")] = 0.01,
) -> None:
    """Count how often the gate is wrong on pairs that differ by chance alone."""
    from reports.gate import false_alarms, snapshot
    from reports.gate.rule import lines

    plugin_files(None, suite)
    planned = [] if suite is None else plan.build(plan.read_suite(suite))
    rows = {p.cell.row_key() for p in planned if p.required} or None
    if source.is_dir():
        store = Store(source, write=False)
        saved = snapshot.snapshot(store.records(), store.evidence, rows)
    else:
        saved = snapshot.read(source)
        saved.rows = [row for row in saved.rows if rows is None or row.row_key in rows]
    if not saved.rows:
        raise UserError(f"{source} has none of these rows.", f"Run: bench run --suite {suite or 'ci'}")
    snapshot.check_complete(saved)
    compared = list(lines(saved.rows).values())
    study = false_alarms.study(compared, pairs, rate)
    console.out.print(false_alarms.table(study, rate, len(compared)))
