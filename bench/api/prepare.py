"""What the lines of a plan need from elsewhere: data sets, public weights, editors; and fetching what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from typing import Any

from bench import datasets, plan, registry
from bench.api import public_files
from bench.datasets import facts
from bench.editors import loading
from bench.errors import UserError
from bench.paths import data_home


@dataclass(frozen=True)
class Need:
    """One thing that a plan needs.

    Args:
        kind: ``data``, ``weights`` or ``editor``.
        name: as a suite names it.
        here: whether it is on this machine.
        place: where it lies, or where it comes from.
        size: bytes; None where they are not stated.
        licence: as its owners name it; empty where it is not known here.
        remedy: what to do where it is missing.
        fetched: whether `fetch` can fetch it.
        required: False where only cells that may be left out need it.
        settings: of the data set, by name.
    """

    kind: str
    name: str
    here: bool
    place: str = ""
    size: int | None = None
    licence: str = ""
    remedy: str = ""
    fetched: bool = True
    required: bool = True
    settings: tuple[tuple[str, Any], ...] = ()


def needs(lines: Sequence[plan.SuiteLine]) -> list[Need]:
    """What ``lines`` need, each thing once; what comes with the package is left out. Nothing is fetched."""
    out: dict[tuple[str, str], Need] = {}
    for line in lines:
        settings = {name.partition(".")[2]: value for name, value in line.params.items() if name.startswith("task.")}
        editors = [value for name, value in _all_values(line) if name == "key.editor"]
        found = [
            *(need for task in line.tasks for side in datasets.pair(task) or (task,) for need in _data(side, settings)),
            *(need for model in line.models for need in _weights(model)),
            *(need for editor in dict.fromkeys(editors) for need in _editor(str(editor))),
        ]
        for need in found:
            known = out.get((need.kind, need.name))
            required = line.required or (known is not None and known.required)
            out[need.kind, need.name] = replace(need, required=required)
    return list(out.values())


def _all_values(line: plan.SuiteLine) -> Iterable[tuple[str, Any]]:
    yield from line.params.items()
    for name, values in line.sweep.items():
        yield from ((name, value) for value in values)


def _data(task: str, settings: dict[str, Any]) -> list[Need]:
    info = datasets.source(task)
    if info is None:
        try:
            datasets.check(task)
        except UserError as error:
            return [Need("data", task, False, remedy=f"{error.message} {error.remedy or ''}".strip(), fetched=False)]
        return []
    known = facts.of(info, task.partition(":")[2])
    own = {name: value for name, value in settings.items() if name in info.params}
    out = []
    if known.way != "built in":
        place = str(known.place) if known.place is not None else f"the package {info.package}"
        out.append(
            Need(
                "data", task, known.here, place, known.size, known.licence,
                known.remedy or f"On a connected machine run: bench prepare --task {task}",
                known.way == "fetched", settings=tuple(sorted(own.items())),
            )
        )  # fmt: skip
    for folder in facts.folders(info, own):
        name = str(folder.relative_to(data_home()))
        out.append(
            Need(
                "data",
                name,
                folder.is_dir(),
                str(folder),
                None,
                known.licence,
                f"Put it there: {task} reads it.",
                False,
            )
        )
    return out


def _weights(model: str) -> list[Need]:
    try:
        found = public_files.needed(model)
    except UserError as error:
        remedy = f"{error.message} {error.remedy or ''}".strip()
        return [Need("weights", model, False, remedy=remedy, fetched=False)]
    return [
        Need(
            "weights", each.model, each.place is not None, str(each.place or each.source),
            None if each.place is None else each.place.stat().st_size, "", each.remedy,
        )
        for each in found
    ]  # fmt: skip


def _editor(name: str) -> list[Need]:
    if registry.current().get("editor", name) is not None:
        return []
    remedy = f"On a connected machine run: hf download {name}"
    try:
        place = loading.located(name)
    except UserError as error:
        return [Need("editor", name, False, remedy=f"{error.message} {error.remedy or ''}".strip(), fetched=False)]
    return [Need("editor", name, place is not None, str(place or name), None, "", remedy)]


def to_do(found: Iterable[Need]) -> list[Need]:
    """What `fetch` can do for: what is missing and can be fetched, and data that are here, which it reads."""
    return [need for need in found if (need.fetched if not need.here else _is_set(need))]


def _is_set(need: Need) -> bool:
    return need.kind == "data" and datasets.source(need.name) is not None


def fetch(need: Need) -> None:
    """Fetch ``need`` where it is missing, and read it once: data at 16 pixels, so that half a download is noticed.

    Raises:
        UserError: it cannot be fetched, or is damaged.
    """
    if need.kind == "data":
        datasets.load(need.name, size=datasets.SIZES[0], settings=dict(need.settings))
    elif need.kind == "weights":
        for weights in public_files.needed(need.name):
            public_files.fetch(weights)
    else:
        loading.find(need.name)


def space(needed: Iterable[Need], folder: Path) -> tuple[int, int]:
    """Bytes that what is missing takes as far as stated, and bytes that are free where ``folder`` will lie."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return sum(need.size or 0 for need in needed if not need.here), disk_usage(there).free
