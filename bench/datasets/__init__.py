"""Images that a lock protects, by the name of the task. No torch here until `load` is called."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.datasets import listing
from bench.errors import UserError
from bench.hashing import digest
from bench.paths import user_path
from bench.plugin_source import PluginInfo

if TYPE_CHECKING:
    from bench.datasets.base import Dataset

LONGEST = 4096
"""Characters of a task's name: no path is longer."""
FOLDER = "folder"
"""The data source of a user's own images: its classes are sub-folders."""
SIZES = (16, 256)
"""Smallest and largest side of an image, pixels."""


def catalogue() -> dict[str, str]:
    """What ``--task`` takes, with one line on each."""
    tasks = registry.current().all("task").values()
    return {f"{info.name}:PATH" if info.prefix else info.name: info.summary for info in _sorted(list(tasks))}


def _sorted(infos: list[PluginInfo]) -> list[PluginInfo]:
    return sorted(infos, key=lambda info: (info.prefix, info.name))


def source(task: str) -> PluginInfo | None:
    """The plugin behind the one data set ``task``, or None."""
    name, colon, _ = task.partition(":")
    info = registry.current().get("task", name)
    return info if info is not None and info.prefix == bool(colon) else None


def pair(task: str) -> tuple[str, str] | None:
    """Source and target of a domain scenario ``SOURCE:TARGET``; None where ``task`` is one data set."""
    if len(task) > LONGEST:
        return None
    for at in (i for i, letter in enumerate(task) if letter == ":"):
        sides = task[:at], task[at + 1 :]
        if all(source(side) is not None for side in sides):
            return sides
    if task.count(":") == 1 and source(task) is None:  # a name is wrong: `check` says which
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
    for side in sides:
        _check_one(side)


def _check_one(task: str) -> PluginInfo:
    info = source(task)
    if info is not None:
        if info.prefix:
            _check_folder(task)
        return info
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
    if path in ("", "PATH"):
        raise UserError(f"'{task}' names no folder.", f"Write {name}:PATH, with one sub-folder for each class in PATH.")
    folder = folder_path(task)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"The folder '{path}' {what}.", "Give a folder that holds one sub-folder for each class.")


def check_data(task: str) -> None:
    """Whether what `check` finds by name can serve: a folder's classes and the number of their files; opens no image.

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
            found.append(listing.check(folder_path(side)))
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


def content(task: str) -> dict[str, Any]:
    """What decides the content of the one data set ``task``, code apart: names, sizes and times of a folder's files.

    Links are followed, to files and to folders.
    """
    if ":" not in task:
        return {}
    return {"files": digest(listing.content(folder_path(task)))}


def load(task: str, *, size: int = 32, generator_seed: int = 0, skip_bad: bool = False) -> Dataset:
    """The one data set that ``task`` names. Equal arguments give equal data; treat its tensors as read-only.

    Args:
        task: a name of `catalogue`, or ``NAME:PATH``.
        size: side of the images, pixels, within `SIZES`.
        generator_seed: of what is drawn; labels do not depend on it.
        skip_bad: go on without files that cannot be read, and name them in ``notes["skipped"]``.

    Raises:
        UserError: unknown task, size out of range, or a folder that cannot serve.
    """
    info = _check_one(task)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"Image size {size} is not allowed.", f"Choose between {SIZES[0]} and {SIZES[1]} pixels.")
    path = folder_path(task) if info.prefix else None
    if info.guest:
        from bench.datasets.guests import load_guest

        dataset = load_guest(info, path, size, generator_seed, skip_bad)
    else:
        plugin = registry.load(info)()
        if path is not None:
            plugin.path = path
        dataset = plugin.load(size, generator_seed, skip_bad)
    return replace(dataset, name=task) if info.prefix else dataset
