"""What every data set is: uint8 images, labels, class names, perhaps masks, and a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.contracts import IGNORED, KINDS
from bench.hashing import canonical


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled set of images. Its tensors are shared between callers: do not write to them.

    Args:
        name: the task string, for example ``digits-m`` or ``folder:PATH``.
        images: (N, 3, S, S) uint8.
        labels: (N,) int64 in [0, K).
        classes: the K class names.
        masks: (N, S, S) uint8, or None. In segmentation the class of each pixel in [0, K), 255 where it is not judged;
            otherwise 0 for background and label + 1 on the object.
        notes: what else is to be recorded, JSON-able.
        groups: (N,) int64, equal where images share a source, or None where none do.
        origin: the set that image i was made from, index by index; its own name where it stands alone. Sets of
            one origin are split alike, so that a domain pair of them never tests on what it was trained on.
        kind: one of `bench.contracts.KINDS`. In segmentation ``masks`` are what is predicted; ``labels`` are the main
            class of each image, and only keep its splits alike.

    Raises:
        ValueError: a tensor of another shape or dtype, or a label or mask that names no class.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    masks: Tensor | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    groups: Tensor | None = None
    origin: str = ""
    kind: str = "classification"

    def __post_init__(self) -> None:
        n, side = len(self.images), self.images.shape[-1]
        _expect("images", self.images, (n, 3, side, side), torch.uint8)
        _expect("labels", self.labels, (n,), torch.int64)
        if self.masks is not None:
            _expect("masks", self.masks, (n, side, side), torch.uint8)
        if self.groups is not None:
            _expect("groups", self.groups, (n,), torch.int64)
        if n and (self.labels.min() < 0 or self.labels.max() >= len(self.classes)):
            raise ValueError(f"{self.name}: a label lies outside the {len(self.classes)} classes")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"{self.name}: two classes have the name {twice!r}")
        if self.kind not in KINDS or (self.kind == "segmentation" and self.masks is None):
            raise ValueError(f"{self.name}: a task of kind {self.kind} needs masks, or there is none of that kind")
        if self.kind == "segmentation" and len(self.classes) > IGNORED:
            raise ValueError(f"{self.name}: {len(self.classes)} classes, and masks have room for {IGNORED}")
        if self.kind == "segmentation" and n and self._largest() >= len(self.classes):
            raise ValueError(f"{self.name}: a mask lies outside the {len(self.classes)} classes")

    def _largest(self) -> int:
        """The largest class of a judged pixel; −1 where there is none."""
        assert self.masks is not None
        values = torch.bincount(self.masks.flatten(), minlength=256)[:IGNORED].nonzero()
        return int(values.max()) if len(values) else -1

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """20 hex digits of SHA-256 over images, labels, masks and class names."""
        hashed = hashlib.sha256(canonical(list(self.classes)).encode())
        if self.kind != "classification":
            hashed.update(self.kind.encode())
        # Masks count as int64, so that the way they are stored moves no fingerprint.
        masks = None if self.masks is None else self.masks.long()
        for tensor in (self.images, self.labels, masks):
            if tensor is None:
                hashed.update(b"none")
                continue
            hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            hashed.update(tensor.contiguous().numpy())
        return hashed.hexdigest()[:20]


def _expect(what: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise ValueError(f"{what} must be {shape} {dtype}, not {tuple(tensor.shape)} {tensor.dtype}")


def channels_first(pixels: np.ndarray) -> Tensor:
    """(N, S, S, 3) uint8, as images are drawn and read, to a contiguous (N, 3, S, S) tensor."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Floats in [0, 1], clipped, to the nearest of 256 levels."""
    result: np.ndarray = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return result
