"""Batches of a set of images in an order that is drawn anew each epoch, gathered on the device that trains."""

from __future__ import annotations

import math

import torch

from bench.contracts import Batch, Images
from bench.placement import fits, sent


class Deck:
    """The batches of one set, dealt without end; no image comes twice before each has come once.

    Images live on the device as uint8, copied once, and gather and normalisation happen there. Those that would
    take more than half of a GPU's free memory stay where they are, and each batch is sent as uint8. The order is
    drawn on the CPU, so that every device deals the same batches; it is sent once an epoch.

    Args:
        source: what is dealt.
        size: images of a batch; at most the number of images.
        device: where batches are wanted.
        rng: a CPU generator, which draws the order.
        resident: whether images live on the device; None: where it is a GPU and they fit.
    """

    def __init__(
        self, source: Images, size: int, device: torch.device, rng: torch.Generator, resident: bool | None = None
    ) -> None:
        self._source, self._size, self._device, self._rng = source, min(size, len(source)), device, rng
        if resident is None:
            resident = device.type != "cpu" and fits(math.prod(source.shape), device)
        self._resident = source.on(device) if resident else None
        self._here = torch.empty(0, dtype=torch.int64)
        self._there = self._here.to(device)

    def deal(self) -> Batch:
        """The next batch, on the device; its index stays on the CPU."""
        while len(self._here) < self._size:
            order = torch.randperm(len(self._source), generator=self._rng)
            self._here = torch.cat([self._here, order])
            if self._resident is not None:
                self._there = torch.cat([self._there, sent(order, self._device)])
        at, self._here = self._here[: self._size], self._here[self._size :]
        if self._resident is None:
            return self._source.take(at, self._device)
        there, self._there = self._there[: self._size], self._there[self._size :]
        return self._resident.take(there).with_index(at)
