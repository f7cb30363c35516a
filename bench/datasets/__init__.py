"""Images that a lock protects, by the name of the task. No torch here until `load` is called."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench import registry
from bench.datasets import listing, pairs, parts
from bench.errors import UserError
from bench.params import Param
from bench.paths import user_path
from bench.plugin_source import PluginInfo
from bench.records import name_of

if TYPE_CHECKING:
    from bench.datasets.base import Dataset

LONGEST = 4096
"""Characters of a task's name: no path is longer."""
FOLDER = "folder"
"""The data source of a user's own images: its classes are sub-folders."""
FOLDER_SEG = "folder-seg"
"""The data source of a user's own images and masks."""
_HOLDS = {FOLDER_SEG: f"{pairs.IMAGES}/ and {pairs.MASKS}/"}
"""What a folder holds, where it is no sub-folder for each class."""
SIZES = (16, 256)
"""Smallest and largest side of an image, pixels."""


def catalogue() -> dict[str, str]:
    """What ``--task`` takes, with one line on each."""
    return {form(info): info.summary for info in infos()}


def infos() -> list[PluginInfo]:
    """The plugins of all data sets, those of one name first, then those of parts, then those of a folder."""
    found = registry.current().all("task").values()
    return sorted(found, key=lambda info: (info.prefix, bool(info.parts), info.name))


def form(info: PluginInfo) -> str:
    """What ``--task`` takes for the data set ``info``: ``NAME``, ``NAME:PART|PART`` or ``NAME:PATH``."""
    if info.prefix:
        return f"{info.name}:PATH"
    return f"{info.name}:{'|'.join(info.parts)}" if info.parts else info.name


def source(task: str) -> PluginInfo | None:
    """The plugin behind the one data set ``task``, or None."""
    name, colon, rest = task.partition(":")
    info = registry.current().get("task", name)
    if info is not None and info.parts:
        return info if rest in info.parts else None
    return info if info is not None and info.prefix == bool(colon) else None


def _parted(task: str) -> PluginInfo | None:
    """The set of parts that ``task`` begins with; None where it begins with none."""
    info = registry.current().get("task", task.partition(":")[0])
    return info if info is not None and info.parts else None


def kind(task: str) -> str:
    """The kind of task: see `bench.contracts.KINDS`. A pair has that of its source."""
    sides = pair(task)
    info = source(task if sides is None else sides[0])
    return "classification" if info is None else info.tasks[0]


def pair(task: str) -> tuple[str, str] | None:
    """Source and target of a domain scenario ``SOURCE:TARGET``; None where ``task`` is one data set."""
    if len(task) > LONGEST:
        return None
    for at in (i for i, letter in enumerate(task) if letter == ":"):
        sides = task[:at], task[at + 1 :]
        if all(source(side) is not None for side in sides):
            return sides
    if task.count(":") == 1 and source(task) is None and _parted(task) is None:  # a name is wrong: `check` says which
        first, _, second = task.partition(":")
        return first, second
    return None


def check(task: str) -> None:
    """Whether ``task`` names data that can be looked for, one set or ``SOURCE:TARGET``; reads no image.

    Raises:
        UserError: no data set of that name, no such folder, or a set paired with itself.
    """
    sides = pair(task)
    if sides is None:
        _check_one(task)
        return
    if sides[0] == sides[1]:
        raise UserError(f"'{task}' has the same data on both sides.", "Name two: SOURCE:TARGET, e.g. digits:fonts.")
    if (shared := _shared(*sides)) is not None:
        raise UserError(f"'{task}' has images of {shared} on both sides.", "Pair two sets that share no image.")
    for side in sides:
        _check_one(side)


def _shared(first: str, second: str) -> str | None:
    """The set whose images both sides have, though their splits differ; None where there is none."""
    sides = [source(first), source(second)]
    made_of = [
        task if info is None else info.images_of or task for task, info in zip((first, second), sides, strict=True)
    ]
    apart = any(info is not None and info.images_of and not info.split_alike for info in sides)
    return made_of[0] if apart and made_of[0] == made_of[1] else None


def _check_one(task: str) -> PluginInfo:
    info = source(task)
    if info is not None:
        if info.prefix:
            _check_folder(task)
        if info.parts:
            parts.folder(info, task.partition(":")[2])
        return info
    parted = _parted(task)
    if parted is not None:
        first = next(iter(parted.parts))
        raise UserError(
            f"'{task}' names no part of {parted.name}.", f"Write {form(parted)}, e.g. {parted.name}:{first}."
        )
    infos = registry.current().all("task")
    near = difflib.get_close_matches(task.lower(), [n for n, i in infos.items() if not i.prefix], n=1)
    if near:
        remedy = f"Did you mean '{near[0]}'?"
    elif _is_folder(task):
        remedy = f"For a folder of images write 'folder:{task}'."
    else:
        remedy = f"There are {', '.join(catalogue())}."
    raise UserError(f"Unknown task '{task}'.", remedy)


def _is_folder(text: str) -> bool:
    try:
        return bool(text) and user_path(text).is_dir()
    except UserError:
        return False


def _check_folder(task: str) -> None:
    name, _, path = task.partition(":")
    holds = _HOLDS.get(name, "one sub-folder for each class")
    if path in ("", "PATH"):
        raise UserError(f"'{task}' names no folder.", f"Write {name}:PATH, with {holds} in PATH.")
    folder = folder_path(task)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"The folder '{path}' {what}.", f"Give a folder that holds {holds}.")


def params(task: str) -> dict[str, Param]:
    """The parameters of the data sets of ``task``, by name: what ``task.NAME`` sets beside the size."""
    infos = [source(side) for side in pair(task) or (task,)]
    return {name: param for info in infos if info is not None for name, param in info.params.items()}


def located(task: str) -> str:
    """``task`` with each folder as a full path without links: one spelling for one place.

    Raises:
        UserError: a path that cannot be one.
    """
    sides = pair(task)
    if sides is not None:
        return ":".join(located(side) for side in sides)
    info = source(task)
    if info is None or not info.prefix or not task.partition(":")[2]:
        return task
    return f"{info.name}:{_resolved(folder_path(task))}"


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # what is wrong with it, `check` says
        return path.absolute()


def check_data(task: str, settings: Mapping[str, Any] | None = None) -> None:
    """Whether what `check` finds by name can serve: a folder's classes and the number of their files; opens no image.

    Args:
        task: a task.
        settings: parameters of its data sets, as `params` has them.

    Raises:
        UserError: an empty folder, too few classes or images, or two folders of other classes.
    """
    sides = pair(task) or (task,)
    found = []
    for side in sides:
        info = _check_one(side)
        if not info.prefix:
            continue
        if info.name == FOLDER:
            from bench.datasets import decoding

            grouping = str((settings or {}).get("groups", "none"))
            found.append(listing.check(folder_path(side), grouping, decoding.readable()))
        elif info.name == FOLDER_SEG:
            from bench.datasets import decoding

            pairs.read(folder_path(side), decoding.readable())
        elif not listing.entries(folder_path(side)):
            raise UserError(f"The folder '{folder_path(side)}' is empty.", "Name the folder of the data.")
    if len(found) == 2 and found[0] != found[1]:
        text = " and ".join(f"{side} has {', '.join(kinds)}" for side, kinds in zip(sides, found, strict=True))
        raise UserError(
            f"Source and target must have the same classes: {text}.", "Give both folders the same sub-folders."
        )


def folder_path(task: str) -> Path:
    """The folder of a task ``NAME:PATH``, ``~`` expanded.

    Raises:
        UserError: a path that cannot be one.
    """
    return user_path(task.partition(":")[2])


def content(task: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What decides the content of the one data set ``task``, code apart: a digest of names and content of its files.

    Links are followed, to files and to folders. Of a folder of images those count that are taken for images. Where the
    folder lies, and when its files were written, plays no part.
    """
    info = source(task)
    if info is None or not (info.prefix or info.parts or info.reads):
        return {}
    from bench.datasets import contents

    if info.reads:
        from bench.datasets import facts

        read = facts.folders(info, settings or {})
        return {"files": [contents.of_all(folder) if folder.is_dir() else "" for folder in read]} if read else {}
    if info.parts:
        return {"files": contents.of_images(*parts.read(info, task.partition(":")[2], settings or {}))}
    if info is None or info.name != FOLDER:
        return {"files": contents.of_all(folder_path(task))}
    from bench.datasets import decoding

    grouping = str((settings or {}).get("groups", "none"))
    root = folder_path(task)
    return {"files": contents.of_images(root, listing.read(root, grouping, decoding.readable()))}


def _announce(info: PluginInfo, rest: str) -> None:
    """Say that the data set ``info`` is fetched, where it is not here."""
    from bench import fetching
    from bench.datasets import facts

    known = facts.of(info, rest)
    if known.way == "fetched" and not known.here:
        hosts = dict.fromkeys(urlsplit(archive.url).netloc for archive in known.archives)
        fetching.announce(f"data {info.name}", known.size if known.archives else None, ", ".join(hosts) or "its owner")


def load(
    task: str,
    *,
    size: int = 32,
    generator_seed: int = 0,
    skip_bad: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The one data set that ``task`` names. Equal arguments give equal data; treat its tensors as read-only.

    Args:
        task: a name of `catalogue`, or ``NAME:PATH``.
        size: side of the images, pixels, within `SIZES`.
        generator_seed: of what is drawn; labels do not depend on it.
        skip_bad: go on without files that cannot be read, and name them in ``notes["skipped"]``.
        settings: parameters by name; those that the data set does not have are left to others of a pair.
        progress: called with images done and in all, by sources that take long.

    Raises:
        UserError: unknown task, size out of range, or a folder that cannot serve.
    """
    info = _check_one(task)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"Image size {size} is not allowed.", f"Choose between {SIZES[0]} and {SIZES[1]} pixels.")
    path = folder_path(task) if info.prefix else None
    part = task.partition(":")[2] if info.parts else ""
    _announce(info, task.partition(":")[2])
    own = {name: value for name, value in (settings or {}).items() if name in info.params}
    if info.guest:
        from bench.datasets.guests import load_guest

        dataset = load_guest(info, path, size, generator_seed, skip_bad, own)
    else:
        plugin = registry.load(info)(**own)
        if path is not None:
            plugin.path = path
        plugin.part = part
        if progress is not None:
            plugin.progress = progress
        dataset = plugin.load(size, generator_seed, skip_bad)
    return replace(dataset, name=name_of(located(task))) if info.prefix else dataset
