"""Suite lines -> cells, with the controls that each line needs. No torch here until attacks are asked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import datasets, registry
from bench.editors.loading import check_if_folder
from bench.errors import UserError
from bench.guests import questions
from bench.guests.failure import GuestFailed
from bench.paths import user_path
from bench.plan.cells import check_used, combinations, fits, make_cell
from bench.plan.controls import controls_of
from bench.plan.suites import MOST_CELLS, SuiteLine
from bench.plan.wording import text_of
from bench.records import Cell, name_of
from bench.threat import Acceptance

ASKED = "asked for"
"""Why a cell is in a plan that is no control of another."""


@dataclass(frozen=True)
class Planned:
    """A cell and why it is in the plan."""

    cell: Cell
    reason: str
    required: bool = True


def build(lines: Sequence[SuiteLine], *, to_run: bool = True) -> list[Planned]:
    """Every cell of ``lines`` with its controls, each once: required ones first, replicate by replicate.

    A cell comes before its controls, so that its verdict is known as early as may be.

    Args:
        lines: of a suite.
        to_run: whether the cells are to be run; False: to be looked up, and nothing that they read need be here.

    Raises:
        UserError: an unknown name, a parameter out of range, more cells than `MOST_CELLS`, or an editor's folder
            that holds something else.
    """
    if sum(line.cells for line in lines) > MOST_CELLS:
        raise UserError(f"the plan has more than {MOST_CELLS:,} cells.", "Ask for fewer seeds, or a smaller sweep.")
    planned: dict[tuple[str, int, str], Planned] = {}

    def add(template: _Template, replicate: int, required: bool) -> None:
        at = template.row_key, replicate, template.cell.scenario
        there = planned.get(at)
        if there is None:
            planned[at] = Planned(template.cell.model_copy(update={"replicate": replicate}), template.reason, required)
        elif required and not there.required:
            planned[at] = replace(there, required=True)

    for line in lines:
        check_used(line)
        for task in line.tasks if to_run else ():
            datasets.check(task)
        places = [(place, _at(line, *place)) for place in itertools.product(line.tasks, line.models)]
        for replicate, (_, cells) in itertools.product(line.replicates, places):
            for template in cells:
                add(template, replicate, line.required)
    _check_names([p.cell.scenario for p in planned.values()])
    for editor in {p.cell.editor for p in planned.values() if to_run and "editor" in p.cell.key.params}:
        check_if_folder(editor)
    return sorted(planned.values(), key=lambda p: (not p.required, p.cell.replicate))


@dataclass(frozen=True)
class _Template:
    """A cell of any replicate, with its row key, and why it is in the plan."""

    cell: Cell
    row_key: str
    reason: str


def _at(line: SuiteLine, task: str, model: str) -> list[_Template]:
    """What ``line`` asks for on ``task`` with ``model`` in every replicate, each cell before its controls."""
    out: dict[str, _Template] = {}
    for lock, attack, swept in itertools.product(line.locks, line.attacks, combinations(line.sweep)):
        params = {**line.params, **swept}
        if line.unfit == "leave" and not fits(attack, lock, task, params):
            continue
        cell = make_cell(lock, attack, task, model, params)
        _check_paths(cell)
        listed = [(cell, ASKED)]
        if line.controls:
            listed += controls_of(cell, line.public_baseline)
        for each, reason in listed:
            row_key = each.row_key()
            out.setdefault(row_key, _Template(each, row_key, reason))
    return list(out.values())


def _check_names(tasks: Sequence[str]) -> None:
    """Whether folders of one name are one folder: a folder is known by its name and content.

    Raises:
        UserError: two are not.
    """
    known: dict[str, str] = {}
    for task in tasks:
        other = known.setdefault(name_of(task), task)
        if other != task:
            raise UserError(
                f"{other} and {task} have one name: a table could not tell them apart.", "Rename a folder, or run them "
                "one after the other, each with a --store of its own."
            )  # fmt: skip


def _check_paths(cell: Cell) -> None:
    """Whether each parameter of ``cell`` that names a file has what can be a path.

    Raises:
        UserError: one has not.
    """
    for kind, ref in (("lock", cell.lock), ("key", cell.key), ("attack", cell.attack)):
        for name in registry.current().find(kind, ref.name).files:
            user_path(str(ref.params[name]))


def acceptance(cell: Cell) -> Acceptance:
    """Whether the attack of ``cell`` can run under its threat model; this imports the plugin, a guest elsewhere.

    Raises:
        UserError: a guest failed to say so.
    """
    try:
        return questions.accepts(registry.current().find("attack", cell.attack.name), cell.attack.params, cell.threat)
    except GuestFailed as failed:
        raise UserError(
            f"{cell.attack.name} cannot say whether it accepts its threat model: {failed.message}.",
            "Mend accepts() of the plugin; most attacks return threat.grants(...).",
        ) from None


def accepted(planned: Sequence[Planned]) -> tuple[list[Planned], list[tuple[Cell, str]]]:
    """What of ``planned`` its attacks can run, and the cells they cannot, each with the reason."""
    runs, left = [], []
    for item in planned:
        answer = acceptance(item.cell)
        if answer:
            runs.append(item)
        else:
            left.append((item.cell, answer.reason))
    return runs, left


def check_accepts(planned: Sequence[Planned]) -> None:
    """Ask every attack whether it can run under its threat model; this imports the plugins.

    Raises:
        UserError: one cannot; the message has its reason.
    """
    for cell, reason in accepted(planned)[1]:
        threat = cell.threat
        raise UserError(
            f"{cell.attack.name} cannot run with access={threat.access}, share={threat.share:g}, "
            f"unlabelled={text_of(threat.unlabelled)}: {reason}.",
            f"See `bench show {cell.attack.name}` and set -p threat.NAME=VALUE.",
        )
