"""`bench prepare`: what a suite needs from elsewhere, fetched once, so that its runs need no network."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated

import typer

from bench import plan, supplies
from bench.api import prepare as needs
from bench.api import request
from bench.cli import console
from bench.cli.options import (
    AttacksOption,
    EditorOption,
    LocksOption,
    ModelsOption,
    ParamOption,
    PluginOption,
    TasksOption,
    WeightsOption,
    plugin_files,
)
from bench.datasets.facts import size_words
from bench.errors import UserError
from bench.need import Need
from bench.paths import data_home


def prepare(
    suite: Annotated[str | None, typer.Argument(help="a suite: a name, or a .toml file")] = None,
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    weights: WeightsOption = None,
    editor: EditorOption = None,
    param: ParamOption = None,
    plugin: PluginOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="fetch nothing: say what is here and what is not")] = False,
) -> None:
    """Fetch the data, public weights and editors of a suite, or of --task and --model.

    Exit status 1: something required is missing. Runs need no network afterwards.

    Data go to LOCKBENCH_DATA, weights to HF_HOME and TORCH_HOME.
    """
    if not any((suite, lock, attack, task, model, weights, editor, param)):
        raise UserError("nothing is named to prepare.", "Name a suite, or --task and --model.")
    plugin_files(plugin, suite)
    names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
    lines = request.lines_of(names, None, suite, param, editor, weights=weights)
    found = needs.needs(lines)
    needs.check_names(found)
    for line in lines:
        plan.check_used(line)
    damaged: set[str] = set()
    if not dry_run:
        damaged = _fetch(needs.to_do(found))
        found = [replace(need, here=need.here and need.name not in damaged) for need in needs.needs(lines)]
    say_needs(found, f"bench prepare {shlex.quote(suite)}" if dry_run and suite else "")
    if any(need.required and not need.here for need in found):
        raise typer.Exit(1)


def _fetch(wanted: list[Need]) -> set[str]:
    """Fetch and read each of ``wanted``; the names of those with which it fails."""
    failed = set()
    for at, need in enumerate(wanted, 1):
        if need.here:
            console.say(f"{at} of {len(wanted)}: reading {need.kind} {need.name}")
        try:
            with console.busy("at 16 pixels") if need.here else nullcontext():
                supplies.fetch(need)  # which says what it fetches
        except UserError as error:
            failed.add(need.name)
            console.warn(f"{error.message} {error.remedy or ''}".strip())
    return failed


def say_needs(found: list[Need], command: str = "") -> None:
    """What is needed, what of it is here, and what to do about the rest.

    Args:
        command: what fetches all that can be fetched; empty where that was tried, and each has its own remedy.
    """
    if not found:
        console.say("everything that this needs comes with the package", "green")
        return
    rows = [
        (
            need.kind, need.name, "yes" if need.here else "missing" if need.required else "missing, optional",
            _size(need), need.licence or "see its page", need.place or "nowhere",
        )
        for need in found
    ]  # fmt: skip
    console.grid(("what", "name", "here", "size", "licence", "where"), rows)
    missing = [need for need in found if not need.here]
    by_remedy: dict[str, list[str]] = {}
    for need in sorted(missing, key=lambda need: need.fetched):  # what the user must do by hand comes first
        own = f"{need.problem} {need.remedy}".strip()
        remedy = f"on a connected machine run {command}" if command and need.fetched else own
        by_remedy.setdefault(remedy, []).append(need.name)
    for remedy, names in by_remedy.items():
        console.say(f"{', '.join(dict.fromkeys(names))}: {remedy}", "yellow")
    if not missing:
        console.say("all of it is here: runs need no network", "green")
        return
    due, free = needs.space(found, data_home())
    least = "at least " if any(need.size is None or need.least for need in missing) else ""
    console.say(f"{len(missing)} missing, {least}{size_words(due)}; {size_words(free)} free for data")


def _size(need: Need) -> str:
    return f"{'at least ' if need.least else ''}{size_words(need.size)}"
