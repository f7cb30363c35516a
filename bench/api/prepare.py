"""What the lines of a plan need from elsewhere, as `bench.supplies` finds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage
from typing import Any

from bench import assets, datasets, plan, registry, supplies
from bench.errors import UserError
from bench.need import Need

EDITOR = "key.editor"


def needs(lines: Sequence[plan.SuiteLine]) -> list[Need]:
    """What ``lines`` need, each thing once; what comes with the package is left out. Nothing is fetched."""
    return supplies.distinct(replace(need, required=line.required) for line in lines for need in _of_line(line))


def _of_line(line: plan.SuiteLine) -> Iterable[Need]:
    settings = {name.partition(".")[2]: value for name, value in line.params.items() if name.startswith("task.")}
    values = dict.fromkeys((name, str(value)) for name, value in _all_values(line))
    for task in line.tasks:
        for one in datasets.pair(task) or (task,):
            yield from supplies.data(one, settings)
    for model in line.models:
        yield from supplies.weights(model, plan.side_of(line))
    for name, value in values:
        if name.partition(".")[2] == assets.CLIP and _is_of_a_model(name, line):
            yield from supplies.clip(value)
        elif name == EDITOR:
            yield from supplies.editor(value)


def _is_of_a_model(name: str, line: plan.SuiteLine) -> bool:
    """Whether the parameter ``name`` of a plugin chooses a CLIP: another plugin may call its cap so."""
    kind, _, own = name.partition(".")
    plugins = registry.current()
    chosen = {"lock": line.locks, "attack": line.attacks, "key": plugins.all("key")}.get(kind, ())
    return any(own in plugins.find(kind, each).assets for each in chosen)


def _all_values(line: plan.SuiteLine) -> Iterable[tuple[str, Any]]:
    yield from line.params.items()
    for name, values in line.sweep.items():
        yield from ((name, value) for value in values)


def check_names(found: Iterable[Need]) -> None:
    """Whether everything that is required has a name that means something.

    Raises:
        UserError: something has not; it names what there is.
    """
    for need in found:
        if need.way == "unknown" and need.required:
            raise UserError(need.problem, need.remedy)


def unknown(tasks: Iterable[str]) -> dict[str, str]:
    """Those of ``tasks`` whose data cannot be looked for, each with the reason."""
    out = {}
    for task in tasks:
        try:
            datasets.check(task)
        except UserError as error:
            out[task] = f"{error.message} {error.remedy or ''}".strip()
    return out


def to_do(found: Iterable[Need]) -> list[Need]:
    """What `supplies.fetch` can do for: what is missing and can be fetched, and data that are here, which it reads."""
    return [need for need in found if (need.fetched if not need.here else _is_set(need))]


def _is_set(need: Need) -> bool:
    return need.kind == "data" and datasets.source(need.name) is not None


def space(needed: Iterable[Need], folder: Path) -> tuple[int, int]:
    """Bytes that what is missing takes as far as stated, and bytes that are free where ``folder`` will lie."""
    parcels = {need.parcel or need.identity: need.size or 0 for need in needed if not need.here}
    return sum(parcels.values()), free(folder)


def free(folder: Path) -> int:
    """Bytes that are free where ``folder`` lies or will lie."""
    return disk_usage(next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())).free
