"""What the lines of a plan need from elsewhere: data sets, public weights, editors; and fetching what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from typing import Any

from bench import assets, datasets, plan, public_weights, registry
from bench.datasets import facts
from bench.editors import loading
from bench.errors import UserError
from bench.forward_cost import parameters
from bench.paths import data_home

FULL_EDITOR, EDITOR_PARAMETERS = "timbrooks/instruct-pix2pix", 1_066_246_827
"""The full-size InstructPix2Pix: denoiser, autoencoder and text encoder, as `tests/benchmarks/full_editor.py` counts
them."""


@dataclass(frozen=True)
class Need:
    """One thing that a plan needs.

    Args:
        kind: ``data``, ``weights``, ``clip`` or ``editor``.
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
        values = list(_all_values(line))
        editors = [value for name, value in values if name == "key.editor"]
        clips = [value for name, value in values if name.partition(".")[2] == assets.CLIP]
        side = int(line.params.get("task.size", 32))
        found = [
            *(need for task in line.tasks for side in datasets.pair(task) or (task,) for need in _data(side, settings)),
            *(need for model in line.models for need in _weights(model, side)),
            *(need for clip in dict.fromkeys(clips) for need in _clip(str(clip))),
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


def _weights(model: str, side: int) -> list[Need]:
    try:
        found = public_weights.needs(model)
    except UserError as error:
        return [_impossible("weights", model, error)]
    return [_public(each, model, "weights", side) for each in found]


def _clip(clip: str) -> list[Need]:
    try:
        found = public_weights.clip_needs(clip)
    except UserError as error:
        return [_impossible("clip", clip, error)]
    return [_public(each, clip, "clip", 0) for each in found]


def _impossible(kind: str, name: str, error: UserError) -> Need:
    return Need(kind, name, False, remedy=f"{error.message} {error.remedy or ''}".strip(), fetched=False)


def _public(need: public_weights.Need, name: str, kind: str, side: int) -> Need:
    """``need`` of the model or CLIP ``name``; where nobody states a size, that of its parameters in float32."""
    place = public_weights.place_of(need)
    size = place.stat().st_size if place is not None else need.bytes
    if size is None and kind == "weights" and not need.here:
        size = 4 * parameters(name, side) or None
    where = str(place or need.place)
    return Need(kind, name, need.here, where, size, "", need.remedy, fetched=need.kind in ("hub", "url"))


def _editor(name: str) -> list[Need]:
    if registry.current().get("editor", name) is not None:
        return []
    try:
        place = loading.located(name)
    except UserError as error:
        return [_impossible("editor", name, error)]
    size = 4 * EDITOR_PARAMETERS if place is None and name == FULL_EDITOR else None
    remedy = f"On a connected machine run: hf download {name}"
    return [Need("editor", name, place is not None, str(place or name), size, "", remedy)]


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
        for each in public_weights.needs(need.name):
            public_weights.fetch(each)
    elif need.kind == "clip":
        for each in public_weights.clip_needs(need.name):
            public_weights.fetch(each)
    else:
        loading.find(need.name)


def space(needed: Iterable[Need], folder: Path) -> tuple[int, int]:
    """Bytes that what is missing takes as far as stated, and bytes that are free where ``folder`` will lie."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return sum(need.size or 0 for need in needed if not need.here), disk_usage(there).free
