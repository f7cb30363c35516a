"""What runs need from elsewhere: data sets, public weights, CLIPs and editors. What is here, and how the rest is had.

One `bench.need.Need` is one thing. A stage fetches what it needs where it runs; `bench prepare` fetches it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import datasets, public_weights, registry
from bench.checkpoints.weights import CONFIG
from bench.datasets import facts
from bench.editors import loading
from bench.errors import UserError
from bench.forward_cost import parameters
from bench.need import Need
from bench.paths import data_home
from bench.plugin_source import PluginInfo
from bench.records import Cell


def of_cell(cell: Cell) -> list[Need]:
    """The public weights, CLIPs and the editor that stages of ``cell`` read, each once. Data fetch themselves.

    Raises:
        UserError: an unknown name.
    """
    found = public_weights.needs(cell.model)
    for clip in public_weights.clips_of(cell):
        found += public_weights.clip_needs(clip)
    if "editor" in cell.key.params:
        found += editor(cell.editor)
    return distinct(found)


def distinct(found: Iterable[Need]) -> list[Need]:
    """``found``, each thing once; it is required where one of its users requires it."""
    out: dict[tuple[Any, ...], Need] = {}
    for need in found:
        known = out.get(need.identity)
        out[need.identity] = need if known is None else replace(known, required=known.required or need.required)
    return list(out.values())


def data(task: str, settings: Mapping[str, Any]) -> list[Need]:
    """What the one data set ``task`` needs: itself, and folders that it reads besides.

    Args:
        settings: parameters of data sets by name; others than its own are left.
    """
    info = datasets.source(task)
    if info is None:
        try:
            datasets.check(task)
        except UserError as error:
            return [Need.unknown("data", task, error)]
        return []
    own = {name: value for name, value in settings.items() if name in info.params}
    return [*_published(info, task, own), *_read_besides(info, task, own)]


_PREPARE = "On a connected machine run: bench prepare --task {}"


def _published(info: PluginInfo, task: str, own: Mapping[str, Any]) -> list[Need]:
    known = facts.of(info, task.partition(":")[2])
    if known.way == "built in":
        return []
    place = str(known.place) if known.place is not None else f"the package {info.package}"
    size = _size_of(known)
    by_hand = ", ".join(archive.url for archive in known.archives) if known.way == "by hand" else ""
    return [
        Need(
            "data", task, "data" if known.way == "fetched" else "package" if known.way == "package" else "folder",
            place, known.here, size=size, licence=known.licence, settings=tuple(sorted(own.items())),
            remedy=f"{known.remedy or _PREPARE.format(task)}{f' From {by_hand}' if by_hand else ''}",
            parcel=info.name if info.parts and known.archives else "",
            least=size is not None and known.lacks_sizes and not known.here,
        )
    ]  # fmt: skip


def _size_of(known: facts.Facts) -> int | None:
    """What is published takes, as far as stated; where it is here and its owner does not say, what lies here."""
    if known.archives and known.size_known is not None and not (known.here and known.lacks_sizes):
        return known.size_known
    return bytes_in(known.place) if known.here and known.place is not None else None


def _read_besides(info: PluginInfo, task: str, own: Mapping[str, Any]) -> list[Need]:
    licence, remedy = info.licence, f"Put it there: {task} reads it."
    return [
        Need(
            "data", str(folder.relative_to(data_home())), "folder", str(folder), folder.is_dir(),
            size=bytes_in(folder), licence=licence, remedy=remedy,
        )
        for folder in facts.folders(info, own)
    ]  # fmt: skip


def weights(model: str, side: int) -> list[Need]:
    """The public weights of ``model``.

    Args:
        side: of the images, pixels: the size of weights whose owner states none is estimated by the parameters.
    """
    try:
        found = public_weights.needs(model)
    except UserError as error:
        return [Need.unknown("weights", model, error)]
    return [_sized(need, model, side) for need in found]


def clip(name: str) -> list[Need]:
    """The weights of the CLIP ``name``."""
    try:
        return [_sized(need) for need in public_weights.clip_needs(name)]
    except UserError as error:
        return [Need.unknown("clip", name, error)]


def _sized(need: Need, model: str = "", side: int = 0) -> Need:
    """``need`` with its size: as its owner states it, else that of the model's parameters in float32."""
    size = public_weights.size_of(need)
    if size is None and model and need.files != (CONFIG,):
        try:
            size = 4 * parameters(model, side) or None
        except UserError:  # its architecture is not known before its configuration is here
            size = None
    return replace(need, size=size, place=str(public_weights.place_of(need) or need.place) if need.here else need.place)


def editor(name: str) -> list[Need]:
    """The editor ``name``; nothing where it is a plugin's."""
    if registry.current().get("editor", name) is not None:
        return []
    try:
        place = loading.located(name)
    except UserError as error:
        return [Need.unknown("editor", name, error)]
    remedy = f"On a connected machine run: hf download {name}"
    size = loading.size_of(name, place)
    return [Need("editor", name, "snapshot", str(place or name), place is not None, size=size, remedy=remedy)]


def bytes_in(place: Path) -> int | None:
    """Bytes of the file ``place``, or of all files in the folder; None where there is neither."""
    if place.is_file():
        return place.stat().st_size
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) if place.is_dir() else None


def fetch(need: Need) -> None:
    """Put ``need`` on this machine where it is missing. Data are read once, so that half a download is noticed.

    Raises:
        UserError: it cannot be fetched, or is damaged.
    """
    if need.kind == "data":
        datasets.load(need.name, size=datasets.SIZES[0], settings=dict(need.settings))
    elif need.kind == "editor":
        loading.find(need.name)
    else:
        public_weights.fetch(need)
