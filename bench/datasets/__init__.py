"""Images that a lock protects: digits written, on textures and in type, shapes, known sets, a user's own folder.

This module imports no torch, so that `bench list` is quick; `load` does when it is called.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.datasets.base import Dataset

FOLDER = "folder:"
TORCHVISION = ("mnist", "usps", "svhn", "cifar10", "stl10")
CATALOGUE: dict[str, str] = {
    "digits": "1797 handwritten digits, white on black (scikit-learn's optical digits), 10 classes",
    "digits-m": "the same digits blended into coloured procedural textures, as MNIST-M is made, 10 classes",
    "fonts": "2000 digits set in eleven typefaces, varied in colour, place, turn and ground, 10 classes",
    "shapes": "2400 drawn geometric shapes on plain and textured backgrounds, with masks, 10 classes",
    "mnist": "10000 handwritten digits (MNIST), fetched on first use, 10 classes",
    "usps": "7291 handwritten digits (USPS), fetched on first use, 10 classes",
    "svhn": "10000 house numbers (SVHN), fetched on first use, 10 classes",
    "cifar10": "10000 small photographs (CIFAR10), fetched on first use, 10 classes",
    "stl10": "5000 photographs (STL10), classes in CIFAR10's order, fetched on first use, 10 classes",
    "folder:PATH": "your own images: one sub-folder a class, at least 10 images in each",
}
"""What ``--task`` takes, with one line on each."""

SIZES = (16, 256)
"""Smallest and largest side of an image, pixels."""


def pair(task: str) -> tuple[str, str] | None:
    """Source and target of a domain scenario ``SOURCE:TARGET``; None where ``task`` is one data set."""
    for at in (i for i, letter in enumerate(task) if letter == ":"):
        sides = task[:at], task[at + 1 :]
        if all(side.startswith(FOLDER) or (side in CATALOGUE and side != "folder:PATH") for side in sides):
            return sides
    if task.count(":") == 1 and not task.startswith(FOLDER):  # a name is wrong: `check` says which
        source, _, target = task.partition(":")
        return source, target
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


def _check_one(task: str) -> None:
    if task in CATALOGUE and not task.startswith(FOLDER):
        return
    if task.startswith(FOLDER):
        _check_folder(task)
        return
    names = [name for name in CATALOGUE if not name.startswith(FOLDER)]
    near = difflib.get_close_matches(task.lower(), names, n=1)
    if near:
        remedy = f"Did you mean '{near[0]}'?"
    elif task and Path(task).is_dir():
        remedy = f"For a folder of images write '{FOLDER}{task}'."
    else:
        remedy = f"There are {', '.join(CATALOGUE)}."
    raise UserError(f"Unknown task '{task}'.", remedy)


def _check_folder(task: str) -> None:
    path = task.removeprefix(FOLDER)
    if path in ("", "PATH"):
        raise UserError(f"'{task}' names no folder.", "Write folder:PATH, with one sub-folder for each class in PATH.")
    if not folder_path(task).is_dir():
        what = "is a file, not a folder" if folder_path(task).exists() else "does not exist"
        raise UserError(f"The folder '{path}' {what}.", "Give a folder that holds one sub-folder for each class.")


def folder_path(task: str) -> Path:
    """The folder of a ``folder:PATH`` task, ``~`` expanded.

    Raises:
        UserError: the path starts with the home of a user who is not known.
    """
    try:
        return Path(task.removeprefix(FOLDER)).expanduser()
    except RuntimeError:
        raise UserError(f"'{task}' begins with a home that is not known.", "Write the folder's full path.") from None


def load(task: str, *, size: int = 32, generator_seed: int = 0, skip_bad: bool = False) -> Dataset:
    """The one data set that ``task`` names. Equal arguments give equal data; treat its tensors as read-only.

    Args:
        task: a name of `CATALOGUE`, or ``folder:PATH``.
        size: side of the images, pixels, within `SIZES`.
        generator_seed: for ``digits-m`` the textures, for ``shapes`` and ``fonts`` all that is drawn; labels stay.
        skip_bad: for a folder, go on without files that cannot be read and name them in ``notes["skipped"]``.

    Raises:
        UserError: unknown task, size out of range, or a folder that cannot serve.
    """
    _check_one(task)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"Image size {size} is not allowed.", f"Choose between {SIZES[0]} and {SIZES[1]} pixels.")
    if task.startswith(FOLDER):
        from bench.datasets import folder

        return folder.build(task, folder_path(task), size, skip_bad)
    if task == "digits":
        from bench.datasets import digits

        return digits.build(size)
    if task == "digits-m":
        from bench.datasets import digits_m

        return digits_m.build(size, generator_seed)
    if task == "fonts":
        from bench.datasets import fonts

        return fonts.build(size, generator_seed)
    if task in TORCHVISION:
        from bench.datasets import vision

        return vision.build(task, size)
    from bench.datasets import shapes

    return shapes.build(size, generator_seed)
