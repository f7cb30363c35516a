"""What a lock teaches about raw images instead of the truth: decoy labels, of images or of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.contracts import IGNORE, Batch, Images, Spec

KINDS = ("extra", "fixed", "random", "uniform", "background", "shifted", "none")


class Decoys:
    """Decoy labels y' of batches from ``images``, by their true labels y.

    ``extra``: the class K everywhere. ``fixed``: one class for all, the next one where it is the right one.
    ``random``: y + r modulo K, r in [1, K) for each image. ``shifted``: the same for all pixels of an image, so that
    classes trade places. ``background``: class 0 everywhere. ``uniform``: no class, 1 / K each.

    Args:
        kind: one of `KINDS`.
        images: the set that batches come from.
        task: the task; its K classes.
        rng: draws class or shifts.
    """

    def __init__(self, kind: str, images: Images, task: Spec, rng: torch.Generator) -> None:
        self.kind, self.k = kind, task.k
        self._class = int(torch.randint(self.k, (1,), generator=rng)) if kind == "fixed" else 0
        shifts = kind in ("random", "shifted")
        self._shift = torch.randint(1, self.k, (len(images),), generator=rng) if shifts else torch.zeros(0)

    def __call__(self, batch: Batch) -> Tensor:
        """(N,) or (N, H, W) classes; for ``uniform`` (N, K) or (N, K, H, W) a distribution. On the batch's device."""
        labels, k = batch.labels, self.k
        if self.kind == "extra":
            return torch.full_like(labels, k)
        if self.kind == "background":
            return torch.zeros_like(labels)
        if self.kind == "uniform":
            return torch.full((len(labels), k, *labels.shape[1:]), 1 / k, device=labels.device)
        if self.kind == "fixed":
            wrong = torch.where(labels == self._class, (labels + 1) % k, self._class)
        else:
            shift = batch.of(self._shift)
            wrong = (labels + shift.view(-1, *(1,) * (labels.ndim - 1))) % k
        return torch.where(labels == IGNORE, IGNORE, wrong) if labels.ndim > 1 else wrong
