"""Images, batches and the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EditStage = Callable[[int, Tensor], Tensor]
"""Called after each stage of a classifier with its index and its activation; the return value goes on."""


Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Images (N, 3, H, W) in [0, 1] and a CPU generator to images of the same shape and range."""


class NoLabels(ValueError):
    """The labels of a set or batch that has none were read."""

    def __init__(self) -> None:
        super().__init__("these images have no labels; ask `labelled` before reading `labels`")


@dataclass(frozen=True)
class Spec:
    """The task as everybody may know it.

    Args:
        size: side of the images, pixels.
        classes: names of the K real classes.
        kind: ``classification``; no task of another kind exists yet.
    """

    size: int
    classes: tuple[str, ...]
    kind: str = "classification"

    @property
    def k(self) -> int:
        """K, the number of real classes."""
        return len(self.classes)

    def to_json(self) -> dict[str, Any]:
        """The task as JSON."""
        return {"size": self.size, "classes": list(self.classes), "kind": self.kind}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spec:
        """The task that `to_json` wrote."""
        return cls(value["size"], tuple(value["classes"]), value["kind"])


class Batch:
    """Images with their labels, if any, and each image's index in its source.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        labels: (N,) int64, or None.
        index: (N,) int64.
    """

    __slots__ = ("_labels", "images", "index")

    def __init__(self, images: Tensor, labels: Tensor | None, index: Tensor) -> None:
        self.images, self._labels, self.index = images, labels, index

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return self._labels

    def with_images(self, images: Tensor) -> Batch:
        """This batch with other images (N, 3, H, W) in place of its own."""
        return Batch(images, self._labels, self.index)

    def to(self, device: torch.device) -> Batch:
        """This batch on ``device``; the index stays where it is."""
        if device.type == "cpu":
            return self
        labels = None if self._labels is None else self._labels.to(device)
        return Batch(self.images.to(device), labels, self.index)


class Images:
    """A set of images, labelled or not, in memory as uint8; hands out float32 in [0, 1].

    Args:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64, or None.

    Raises:
        TypeError: images of another shape or dtype.
        ValueError: another number of labels than of images.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be (N, 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self.pixels = images
        self._labels = labels

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) float32 in [0, 1]."""
        return self.pixels.float() / 255

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return self._labels

    def take(self, index: Tensor) -> Batch:
        """The batch at ``index`` (M,) int64."""
        labels = None if self._labels is None else self._labels[index]
        return Batch(self.pixels[index].float() / 255, labels, index)

    def subset(self, index: Tensor) -> Images:
        """The images at ``index`` (M,) int64 as a set of their own."""
        return Images(self.pixels[index], None if self._labels is None else self._labels[index])

    def unlabelled(self) -> Images:
        """The same images without labels."""
        return Images(self.pixels)

    def with_pixels(self, pixels: Tensor) -> Images:
        """Other pixels (N, 3, H, W) uint8 with these labels, if any."""
        return Images(pixels, self._labels)
