"""Data sets through torchvision's own loaders and checksums, fetched on first use."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.datasets import alignment
from bench.datasets.base import Dataset, channels_first
from bench.errors import UserError
from bench.paths import data_home

MOST = 10_000
"""Images taken of a set, stratified by class: 5,000 to 8,000 train in the family's protocol."""


@lru_cache(maxsize=2)
def build(task: str, name: str, options: tuple[tuple[str, Any], ...], classes: tuple[str, ...], size: int) -> Dataset:
    """At most `MOST` images of a torchvision set, resized to ``size`` × ``size`` RGB.

    Args:
        task: the name of the task.
        name: the class in `torchvision.datasets`.
        options: its arguments, apart from folder and download.
        classes: the K class names.
        size: side of the images, pixels.

    Raises:
        UserError: the data are not here and cannot be fetched.
    """
    pixels, labels = opened(task, name, options)
    taken = stratified(labels, MOST)
    return Dataset(task, channels_first(resized(pixels[taken], size)), torch.from_numpy(labels[taken]), classes)


def opened(task: str, name: str, options: tuple[tuple[str, Any], ...]) -> tuple[np.ndarray, np.ndarray]:
    """All pixels and labels of a torchvision set, as `unpack` has them; arguments as of `build`.

    Raises:
        UserError: the data are not here and cannot be fetched.
    """
    import torchvision.datasets

    try:
        source: Any = getattr(torchvision.datasets, name)(str(data_home() / task), download=True, **dict(options))
    except Exception as error:  # of many kinds: no network, a changed file, no space
        raise UserError(
            f"{task} is not in {data_home() / task} and cannot be fetched ({type(error).__name__}).",
            "On a connected machine run the same command once, then copy that folder here (or set LOCKBENCH_DATA); "
            "without a network use digits, digits-m or fonts.",
        ) from None
    return unpack(task, source)


def unpack(task: str, source: Any) -> tuple[np.ndarray, np.ndarray]:
    """A torchvision set's pixels, (N, H, W[, 3]) uint8, and labels (N,) int64 in the family's order."""
    pixels = np.asarray(source.data)
    labels = np.asarray(getattr(source, "labels", None) if task in ("svhn", "stl10") else source.targets, np.int64)
    if pixels.ndim == 4 and pixels.shape[1] == 3:  # SVHN and STL10 keep channels first
        pixels = pixels.transpose(0, 2, 3, 1)
    if task == "stl10":
        labels = np.asarray(alignment.STL_TO_CIFAR)[labels]
    return pixels, labels


def stratified(labels: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most ``most`` images, the first of each class in equal number, in their own order; else of all."""
    if len(labels) <= most:
        return np.arange(len(labels))
    each = max(1, most // len(np.unique(labels)))
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[:each] for k in np.unique(labels)]))


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """(N, H, W[, 3]) uint8 to (N, size, size, 3) uint8, bicubic."""
    images = (Image.fromarray(p).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for p in pixels)
    return np.stack([np.asarray(image) for image in images])
