"""Sets of photographs through torchvision's own loaders and checksums, fetched on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from bench.datasets.base import Dataset, channels_first
from bench.errors import UserError
from bench.paths import data_home
from bench.pixels import main_class


def opened(task: str, name: str, instead: str = "shapes-seg or scenes-seg", **options: Any) -> Any:
    """The set ``name`` of `torchvision.datasets`: as it lies in the folder of ``task``, or fetched.

    Args:
        task: the name of the task.
        name: the class.
        instead: sets that need no network.
        options: arguments of the class, apart from folder and download.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    import torchvision.datasets

    make: Callable[..., Any] = getattr(torchvision.datasets, name)
    folder = str(data_home() / task)
    try:
        try:
            return make(folder, download=False, **options)
        except (RuntimeError, OSError):  # it is not there, or a part of it is missing
            return make(folder, download=True, **options)
    except Exception as error:  # of many kinds: no network, a changed file, no space
        raise UserError(
            f"{task} is not in {folder} and cannot be fetched ({type(error).__name__}).",
            "On a connected machine run the same command once, then copy that folder here (or set LOCKBENCH_DATA); "
            f"without a network use {instead}.",
        ) from None


def build(task: str, pairs: Iterable[tuple[Image.Image, np.ndarray]], classes: tuple[str, ...], size: int) -> Dataset:
    """Images and masks, the centre of each as a square of ``size`` × ``size`` pixels.

    Args:
        task: the name of the task.
        pairs: RGB images and (H, W) uint8 masks of class numbers, `bench.contracts.IGNORED` where a pixel is left out.
        classes: the K class names, the background first.
        size: side of the images, pixels.

    Raises:
        UserError: a file is missing or broken: the archive was unpacked in part.
    """
    images, cuts = [], []
    for image, values in _whole(task, pairs):
        images.append(np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)))
        mask = ImageOps.fit(Image.fromarray(values), (size, size), Image.Resampling.NEAREST)
        cuts.append(np.asarray(mask))
    stacked = np.stack(cuts)
    return Dataset(
        task,
        channels_first(np.stack(images)),
        main_class(torch.from_numpy(stacked), len(classes)),
        classes,
        torch.from_numpy(stacked),
        kind="segmentation",
    )


def _whole(task: str, pairs: Iterable[tuple[Image.Image, np.ndarray]]) -> Iterator[tuple[Image.Image, np.ndarray]]:
    """``pairs``, which are read one by one; torchvision looks at the folder alone before."""
    try:
        yield from pairs
    except OSError as error:  # of Pillow too, where a file is cut off
        missing = Path(str(error.filename)).name if isinstance(error, FileNotFoundError) else str(error)
        raise UserError(
            f"{task} in {data_home() / task} is not whole: {missing}.",
            "Take the folder away and let a run fetch it again, or copy it once more.",
        ) from None
