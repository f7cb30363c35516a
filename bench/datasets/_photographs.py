"""Classified photographs of torchvision's folders: opened, counted, decoded into the cache of decoded images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.datasets import contents, decoded
from bench.datasets.base import Dataset
from bench.datasets.decoded import Progress
from bench.datasets.listing import Entry, Listing
from bench.errors import UserError


def build(
    task: str,
    files: Sequence[tuple[Path, int]],
    classes: tuple[str, ...],
    published: int,
    size: int,
    progress: Progress,
) -> Dataset:
    """The centre of each photograph as a square of ``size`` × ``size`` pixels.

    Args:
        task: the name of the task.
        files: each photograph with its label.
        classes: the K class names.
        published: how many photographs there must be.
        size: side of the images, pixels.
        progress: called as images are decoded.

    Raises:
        UserError: another number of photographs, or one that cannot be read.
    """
    if len(files) != published:
        raise UserError(
            f"{task} has {len(files):,} photographs here, and was published with {published:,}.",
            "Take its folder away, and let a run fetch it again.",
        )
    entries = [Entry(path, f"{path.parent.name}/{path.name}", label) for path, label in files]
    found = Listing(list(classes), entries)
    images = decoded.load(entries, contents.of_images(entries[0].path.parent, found), size, "white", progress)
    if images.bad:
        at, why = images.bad[0]
        raise UserError(
            f"{len(images.bad)} photographs of {task} cannot be read, such as {entries[at].name} ({why}).",
            "Take its folder away, and let a run fetch it again.",
        )
    return Dataset(task, images.pixels, torch.tensor([label for _, label in files], dtype=torch.int64), classes)
