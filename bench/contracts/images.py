"""Images, batches and the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.placement import sent, unit

EditStage = Callable[[int, Tensor], Tensor]
"""Called after each stage of a classifier with its index and its activation; the return value goes on."""


Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Images (N, 3, H, W) in [0, 1] and a generator to images of the same shape and range.

The generator of `Run.fit` is on the CPU where training is, else on the GPU: draw with `bench.placement.uniform`, or
with ``device=rng.device``."""

KINDS = ("classification", "segmentation")
"""Kinds of task: a class for each image, or a class for each of its pixels."""
IGNORE = -100
"""The label of a pixel that is not judged; `torch.nn.functional.cross_entropy` leaves it out by itself."""
IGNORED = 255
"""The same in masks that are stored as uint8."""


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
        kind: one of `KINDS`. In ``segmentation`` labels are masks, and outputs have a class for every pixel.
    """

    size: int
    classes: tuple[str, ...]
    kind: str = "classification"

    @property
    def k(self) -> int:
        """K, the number of real classes."""
        return len(self.classes)

    @property
    def is_dense(self) -> bool:
        """Whether every pixel has a class."""
        return self.kind == "segmentation"

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
        labels: (N,) int64, or masks (N, H, W) int64 with `IGNORE` where a pixel is not judged, or None.
        index: (N,) int64, on the CPU in a batch of `Run.steps`.
        there: the same on the device of the images; None: it is sent there when it is asked for.
    """

    __slots__ = ("_labels", "_there", "images", "index")

    def __init__(self, images: Tensor, labels: Tensor | None, index: Tensor, there: Tensor | None = None) -> None:
        self.images, self._labels, self.index, self._there = images, labels, index, there

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64, or masks (N, H, W) int64.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return self._labels

    def with_images(self, images: Tensor) -> Batch:
        """This batch with other images (N, 3, H, W) in place of its own."""
        return Batch(images, self._labels, self.index, self._there)

    def with_labels(self, labels: Tensor) -> Batch:
        """This batch with other labels in place of its own."""
        return Batch(self.images, labels, self.index, self._there)

    def with_index(self, index: Tensor) -> Batch:
        """This batch with ``index`` in place of its own, which `there` keeps: equal numbers, elsewhere."""
        return Batch(self.images, self._labels, index, self.index)

    @property
    def there(self) -> Tensor:
        """The index, (N,) int64, on the device of the images."""
        if self._there is None:
            self._there = sent(self.index, self.images.device)
        return self._there

    def of(self, values: Tensor) -> Tensor:
        """``values[index]``, on the device of the images: what is known of each of these images.

        Args:
            values: (M, ...) of the whole source, on any device; nobody waits for a GPU.
        """
        here = values.device.type == self.index.device.type
        return sent(values[self.index if here else self.there], self.images.device)


class Images:
    """A set of images, labelled or not, as uint8; hands out float32 in [0, 1].

    A subset holds its place in the whole set and copies no pixel before it is read: `take` and `batches` read the
    images they hand out and no others, so that a set larger than the memory may lie in a mapped file.

    Args:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64; or masks (N, H, W) uint8, with `IGNORED` where a pixel is not judged; or None.

    Raises:
        TypeError: images of another shape or dtype.
        ValueError: another number of labels than of images.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be (N, 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self._whole = images
        self._at: Tensor | None = None  # indices into the whole; None: all of it
        self._labels = labels
        self._copies: dict[torch.device, Images] = {}
        self._before: tuple[Images, Callable[[Tensor], Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._whole if self._at is None else self._at)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, H, W)."""
        channels, height, width = self._whole.shape[1:]
        return len(self), channels, height, width

    @property
    def pixels(self) -> Tensor:
        """(N, 3, H, W) uint8: all of them, which for a subset are copied when first asked for."""
        if self._at is not None:
            self._whole, self._at = self._whole[self._at], None
        return self._whole

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) float32 in [0, 1]: all at once, 4 bytes a value; see `batches`."""
        return self._read(slice(None)).float() / 255

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64, or masks (N, H, W) int64 with `IGNORE` where a pixel is not judged.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return _classes(self._labels)

    @property
    def has_masks(self) -> bool:
        """Whether every pixel has a label."""
        return self._labels is not None and self._labels.ndim > 1

    @property
    def stored_labels(self) -> Tensor | None:
        """The labels as they are stored: (N,) int64, (N, H, W) uint8, or None."""
        return self._labels

    def made_of(self, before: Images, key: Callable[[Tensor], Tensor]) -> Images:
        """These images, which are ``key`` of ``before``: `varied` varies those and applies the key anew."""
        out = self._view(self._at, self._labels)
        out._before = before, key
        return out

    @property
    def before(self) -> Images | None:
        """What these images were before a key that comes last; see `made_of`."""
        return None if self._before is None else self._before[0]

    def varied(self, batch: Batch, augment: Augment, rng: torch.Generator) -> Tensor:
        """The images of ``batch``, one of this set, after ``augment``: (M, 3, H, W) float32 in [0, 1].

        A key comes last where it is known: a key of single pixels does not survive a move or a turn.
        """
        if self._before is None:
            return augment(batch.images, rng)
        before, key = self._before
        return key(augment(before.take(batch.index, batch.images.device).images, rng))

    def take(self, index: Tensor, device: torch.device | None = None) -> Batch:
        """The batch at ``index`` (M,) int64, which is where the images are.

        Args:
            device: where it is wanted, the index apart; None: where the images are.
        """
        pixels, labels = self._read(index), None if self._labels is None else self._labels[index]
        if device is not None:
            pixels, labels = sent(pixels, device), None if labels is None else sent(labels, device)
        return Batch(unit(pixels), None if labels is None else _classes(labels), index)

    def on(self, device: torch.device) -> Images:
        """These images and labels on ``device``, copied there once and kept as long as this set is."""
        if self._whole.device.type == device.type:
            return self
        if device not in self._copies:
            labels = None if self._labels is None else self._labels.to(device)
            self._copies[device] = Images(self._read(slice(None)).to(device), labels)
        return self._copies[device]

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in their order, at most ``size`` in a batch."""
        for index in torch.arange(len(self)).split(size):
            yield self.take(index)

    def parts(self, size: int) -> Iterator[Tensor]:
        """The pixels of all images in their order: (M, 3, H, W) uint8 with M at most ``size``; do not write to them."""
        for start in range(0, len(self), size):
            yield self._read(slice(start, start + size))

    def subset(self, index: Tensor) -> Images:
        """The images at ``index`` (M,) int64 as a set of their own."""
        at = index if self._at is None else self._at[index]
        out = self._view(at, None if self._labels is None else self._labels[index])
        if self._before is not None:
            out._before = self._before[0].subset(index), self._before[1]
        return out

    def unlabelled(self) -> Images:
        """The same images without labels."""
        return self.with_labels(None)

    def with_labels(self, labels: Tensor | None) -> Images:
        """These images with other labels (N,) int64, or none; a key that comes last still does."""
        out = self._view(self._at, labels)
        out._before = self._before
        return out

    def with_pixels(self, pixels: Tensor) -> Images:
        """Other pixels (N, 3, H, W) uint8 with these labels, if any."""
        return Images(pixels, self._labels)

    def with_masks(self, masks: Tensor) -> Images:
        """These images with other masks (N, H, W) int64, `IGNORE` where a pixel is not judged."""
        return self._view(self._at, torch.where(masks == IGNORE, IGNORED, masks).byte())

    def _view(self, at: Tensor | None, labels: Tensor | None) -> Images:
        out = Images(self._whole[:0], labels if labels is None else labels[:0])
        out._whole, out._at, out._labels = self._whole, at, labels
        return out

    def _read(self, index: Tensor | slice) -> Tensor:
        """The pixels at ``index`` of this set."""
        return self._whole[index if self._at is None else self._at[index]]


def _classes(labels: Tensor) -> Tensor:
    """Labels as they are stored to int64, with `IGNORE` where a mask says `IGNORED`."""
    if labels.dtype != torch.uint8:
        return labels
    wide = labels.long()
    return torch.where(wide == IGNORED, IGNORE, wide)
