"""Images after a key, made when they are needed, and kept where they are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bench.contracts import Images, Key, NoLabels
from bench.contracts.plugins import moved_masks

KEPT = 256 << 20
"""Bytes of float32 pixels up to which keyed images are kept in memory."""
CHUNK = 64
"""Images that a key sees at once where they are not kept."""


class KeyedImages:
    """``images`` after ``key``.

    Args:
        images: before the key.
        key: what the rightful user applies; it sees each image by itself.
    """

    def __init__(self, images: Images, key: Key) -> None:
        self._before, self._key = images, key
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        return len(self._before)

    @property
    def kept(self) -> bool:
        """Whether all of them may lie in memory at once."""
        n, channels, height, width = self._before.shape
        return 4 * n * channels * height * width <= KEPT

    def at(self, index: Tensor) -> Tensor:
        """(M, 3, H, W) float32 in [0, 1] at ``index`` (M,) int64."""
        if not self.kept:
            return self._key(self._before.take(index).images)
        return self._all()[index]

    def chunks(self) -> Iterator[Tensor]:
        """All of them in their order, (M, 3, H, W) float32 in [0, 1]."""
        if self.kept:
            yield self._all()
            return
        for batch in self._before.batches(CHUNK):
            yield self._key(batch.images)

    def _all(self) -> Tensor:
        if self._kept is None:
            self._kept = self._key(self._before.images) if len(self) else torch.zeros(self._before.shape)
        return self._kept


def with_masks_after(key: Callable[[Tensor], Tensor], images: Images) -> Images:
    """``images``, whose masks, if they have any, follow the pixels that ``key`` moves."""
    return images.with_masks(moved_masks(key, images.labels)) if images.has_masks else images


def labels_after(key: Key | None, images: Images) -> Tensor:
    """The stored labels of ``images``: (n,) int64, or masks (n, H, W) uint8 after ``key``.

    Raises:
        NoLabels: there are none.
    """
    some = images if key is None else with_masks_after(key, images)
    if some.stored_labels is None:
        raise NoLabels
    return some.stored_labels
