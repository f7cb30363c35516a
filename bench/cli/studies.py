"""Studies over stores: ownership, comparison, key conditions, ensembles, prompts, false alarms, the fidelity page.

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
    each_seed: Annotated[bool, typer.Option("--each-seed", help="list the seeds in place of their mean")] = False,
) -> None:
    """Show key conditions by kind, data set and model, as Markdown."""
    from reports.tools import key_grid

    grid = key_grid.grid(Store(store, write=False).records(), lock)
    if not grid:
        raise UserError(f"{store} has no key conditions of {lock}.", f"Run: bench run --lock {lock}")
    console.raw(key_grid.markdown(grid, each_seed))


def contributions(
    suite: Annotated[
        str | None, typer.Option(help="only cells of this suite", show_default="the tuning suite of ensembles")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what each attack adds to the worst case on tuning seeds, by threat model, as Markdown."""
    from reports.tools import contributions

    suite = suite or str(plan.SUITES.parent / "tuning" / "ensemble.toml")
    cells = {p.cell.row_key() for p in plan.build(plan.suite_lines(suite, {}))}
    records = [record for record in Store(store, write=False).records() if record.row_key in cells]
    groups = contributions.contributions(records)
    if not groups:
        raise UserError(f"The store has no attacks of {suite}.", f"Run: bench run --suite {suite}")
    console.raw(contributions.markdown(groups))


def edit_sizes(
    task: Annotated[list[str] | None, typer.Option(help="a data set (repeatable)", show_default="shapes")] = None,
    images: Annotated[int, typer.Option(min=1, help="how many images of each data set, from the first on")] = 120,
    picture: Annotated[Path | None, typer.Option(help="also draw images under some keys into this PNG")] = None,
) -> None:
    """Measure where and how much each prompt of the edit key changes images, and how related it is, as CSV."""
    from reports.tools import edit_sizes

    tasks = task or ["shapes"]
    sizes = [size for name in tasks for size in edit_sizes.measure(name, images)]
    if picture is not None:
        from reports.page import edit_sheet

        edit_sheet.draw(tasks[0], picture)
    console.raw(edit_sizes.text(sizes).rstrip("\n"))


def prompts(
    store: StoreOption = DEFAULT_STORE,
    lock: Annotated[str, typer.Option(help="the lock")] = "modellock",
    sizes: Annotated[
        Path | None, typer.Option(help="what `bench edit-sizes` printed", show_default="as the project keeps it")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="also draw the scatter into this PNG")] = None,
    keep: Annotated[Path | None, typer.Option(help="also write what `bench show edit` says into this JSON")] = None,
) -> None:
    """Show UP and LP of each prompt beside print, and what goes with them (suite prompts), as Markdown."""
    from reports import files
    from reports.tools import edit_sizes, measured, prompt_study

    own = edit_sizes.kept() if sizes is None else edit_sizes.read(_text_of(sizes))
    found = prompt_study.prompts(Store(store, write=False).records(), own, lock)
    if not found:
        raise UserError(f"{store} has no fixed prompt of {lock}.", "Run: bench run --suite prompts")
    if picture is not None:
        from reports.page import prompt_scatter

        prompt_scatter.draw(found, picture)
    if keep is not None:
        advice = measured.write(prompt_study.advice(found), prompt_study.PAGE)
        files.atomic(keep, lambda file: file.write(advice.encode()))
    console.raw(prompt_study.markdown(found, own))


def _text_of(path: Path) -> str:
    """The text of a file that a user names.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} cannot be read.", "Make it: bench edit-sizes > FILE") from None


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
        saved = snapshot.snapshot(store.verified(), store.evidence, rows)
    else:
        saved = snapshot.read(source)
        saved.rows = [row for row in saved.rows if rows is None or row.row_key in rows]
    if not saved.rows:
        raise UserError(f"{source} has none of these rows.", f"Run: bench run --suite {suite or 'ci'}")
    snapshot.check_complete(saved)
    compared = list(lines(saved.rows).values())
    study = false_alarms.study(compared, pairs, rate)
    console.out.print(false_alarms.table(study, rate, len(compared)))
