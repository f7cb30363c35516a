"""`bench reproduce`: a paper's setting by one command, and ours beside print. No torch here before cells are run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from bench import datasets, plan
from bench import precision as precisions
from bench.api import prepare, request
from bench.api import quick as short_form
from bench.api.execution import Execution, there
from bench.cli import console
from bench.cli.options import (
    DEFAULT_STORE,
    AttacksOption,
    DeviceOption,
    EditorOption,
    EntropyOption,
    JobsOption,
    LocksOption,
    ModelsOption,
    ParamOption,
    PluginOption,
    PrecisionOption,
    SeedsOption,
    StoreOption,
    TasksOption,
    ThreadsOption,
    WeightsOption,
    plugin_files,
)
from bench.cli.prepare import say_needs
from bench.errors import UserError
from bench.plan.recipe import Recipe
from bench.store import Store
from bench.store.settings import Settings

if TYPE_CHECKING:
    from bench.records import Record


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="a recipe by name, or a .toml file; without it: the recipes")
    ] = None,
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    weights: WeightsOption = None,
    editor: EditorOption = None,
    seeds: SeedsOption = None,
    param: ParamOption = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "float32",
    wall_limit: Annotated[
        float | None, typer.Option(min=0, help="wall seconds of a stage in a plugin's process; 0: no limit")
    ] = 0.0,
    memory_limit: Annotated[
        float | None, typer.Option(min=0.1, help="GB that a plugin's process may allocate", show_default="no limit")
    ] = None,
    entropy: EntropyOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what is needed, what is here, how long it takes; run nothing")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="compare what the store has; run nothing")] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="two steps on generated pictures with random weights, in STORE-quick: can this machine run it?",
        ),
    ] = False,
    format: Annotated[str, typer.Option(help="of the comparison: terminal, md or csv")] = "terminal",
) -> None:
    """Run a paper's setting, and print ours beside theirs. The same command goes on where it stopped."""
    from reports.text.comparison import FORMATS

    if format not in FORMATS:
        raise UserError(f"no format '{format}'.", f"Formats: {', '.join(FORMATS)}.")
    if name is None:
        console.named_list("recipes", {each: plan.read_recipe(each).about for each in plan.recipe_names()})
        console.say("What one needs: bench reproduce NAME --dry-run", "dim")
        return
    recipe = plan.read_recipe(name)
    files = plugin_files(plugin, name)
    if show:
        opened = there(store)
        if opened is None:
            console.warn(f"there is no store {store}, so nothing of ours is measured.")
        _compare(recipe, _whole(name), opened, format)
        return
    names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    lines = request.lines_of(names, seeds, name, param, editor, weights=weights)
    if quick:
        store = store.resolve().with_name(f"{store.resolve().name or 'runs'}-quick")
        lines = short_form.short(lines, editor, recipe.quick)
    sides = [side for line in lines for task in line.tasks for side in datasets.pair(task) or (task,)]
    absent = prepare.unknown(dict.fromkeys(sides))
    if absent and not dry_run:
        which = ", ".join(absent) if len(absent) > 1 else next(f"{side}: {why}" for side, why in absent.items())
        raise UserError(f"recipe '{recipe.name}' needs data that are not here: {which}", _see(name))
    if dry_run:
        _say_recipe(recipe)
    planned = [] if absent else plan.build(lines)
    settings = Settings(
        device=request.device_of(device),
        threads=threads,
        plugin_files=files,
        wall_limit=wall_limit or None,
        memory_limit=memory_limit,
        precision=precision,
    )
    precisions.check(precision, settings.device)
    execution = Execution.on(planned, settings, store, entropy, writes=not dry_run)
    if dry_run:
        say_needs(prepare.needs(lines), f"bench prepare {shlex.quote(name)}")
        with TemporaryDirectory() as folder:
            _say_work(recipe, store, *_counted(lines, absent, settings, execution, Path(folder)))
        return
    records = _run(execution, jobs, request.cards_of(device))
    if quick:
        console.say(f"the short form of {recipe.name}: {len(planned)} cells in {store}; its numbers say nothing")
    else:
        whole = planned if lines == plan.read_suite(name) else _whole(name)
        _compare(recipe, whole, execution.store, format)
    if records:
        from bench.cli import live

        live.say_remarks(records)
        live.end(records)


def _see(name: str) -> str:
    return f"See bench reproduce {shlex.quote(name)} --dry-run"


def _whole(name: str) -> list[plan.Planned]:
    """Every cell of the recipe, as its file has it. Nothing that the cells read need be here."""
    return plan.build(plan.read_suite(name), to_run=False)


def _run(execution: Execution, jobs: int | None, cards: Sequence[int]) -> list[Record]:
    from bench.cli import live

    n = len(execution.planned)
    if not execution.todo:
        console.say(f"nothing to do: all {n} cells are in {execution.opened.root}", "green")
    elif any(execution.done):
        console.say(f"{sum(execution.done)} of {n} cells are in {execution.opened.root} already")
    return live.follow(execution, jobs, cards=cards)


def _compare(recipe: Recipe, planned: Sequence[plan.Planned], store: Store | None, format: str) -> None:
    """Print every published number of ``recipe`` with ours."""
    from reports.rows import stored
    from reports.rows.comparison import beside, words
    from reports.text import comparison

    found = beside(recipe, planned, [] if store is None else stored.of_store(store))
    if format == "csv":
        console.raw(comparison.as_csv(found))
        return
    if format == "md":
        console.raw(comparison.markdown(found))
        return
    if not found:
        console.say(f"no published number of this setting is known: there is nothing to compare ({recipe.paper})")
        return
    console.out.print(comparison.terminal(found))
    counts = ", ".join(f"{n} {word}" for word, n in words(found).items())
    console.say(f"{len(found)} published numbers of {recipe.paper}: {counts}")


def _say_recipe(recipe: Recipe) -> None:
    """What the recipe does, what the paper does, and where each choice comes from."""
    console.say(f"{recipe.name}: {recipe.about}")
    console.say(recipe.paper, "dim")
    console.grid(("choice", "theirs", "ours", "source"), [(c.name, c.theirs, c.ours, c.source) for c in recipe.choices])
    console.say(f"published numbers: {_published(recipe)}")


def _published(recipe: Recipe) -> str:
    """How many there are, in which files, and how many of them ours can be compared with."""
    from reports.rows.comparison import published

    found = published(recipe)
    if not found:
        return "none known to us"
    files = ", ".join(sorted({printed.file for printed in recipe.printed}))
    reasons = "; ".join(dict.fromkeys(printed.differs for printed in recipe.printed if printed.differs))
    able = sum(n for printed, n in found if not printed.differs)
    total = sum(n for _, n in found)
    compared = "all can be compared" if able == total else f"{able or 'none'} can be compared: {reasons}"
    return f"{total} in {files}; {compared}"


def _counted(
    lines: Sequence[plan.SuiteLine], absent: dict[str, str], settings: Settings, execution: Execution, folder: Path
) -> tuple[Execution, dict[str, str]]:
    """The plan to count, and what stands in for which data set where data are not here: see `quick.stand_in`."""
    if not absent:
        return execution, {}
    console.warn(f"{', '.join(absent)}: not here, so the work is counted on generated pictures in their place")
    others, places = short_form.stand_in(lines, list(absent), folder)
    return Execution(plan.build(others), settings, None), places


def _say_work(recipe: Recipe, store: Path, execution: Execution, places: dict[str, str]) -> None:
    """What the plan takes: stages, hours, disk."""
    from bench.plan import work

    images = {**recipe.images, **{place: recipe.images.get(name, 0) for place, name in places.items()}}
    total = work.of_stages(execution.graph.stages, images)
    n = len(execution.planned)
    console.say(f"{n} cells, {sum(execution.done)} done, {len(execution.graph)} stages to do")
    console.say(
        f"about {hours(total.hours)} of a GPU that sustains {work.SUSTAINED / 1e12:g} TFLOP/s, an assumption: "
        f"{total.trained + total.answered + total.edited:.2g} multiply-adds, of which {total.trained:.2g} train, "
        f"{total.answered:.2g} answer and {total.edited:.2g} edit"
    )
    free = prepare.free(store)
    console.say(f"about {total.disk / 1e9:,.1f} GB of the store: weights of each stage, and edited images")
    console.say(f"{free / 1e9:,.1f} GB free for the store")
    if total.disk > free:
        console.warn(f"the store does not fit into {store.absolute().parent}: name a larger place by --store")


def hours(value: float) -> str:
    """``0.35`` as ``21 min``; ``12.3`` as ``12 h``."""
    return f"{value * 60:,.0f} min" if value < 1 else f"{value:,.0f} h"
