"""Forward passes of unauthorised images alone, so that batch-norm statistics estimated on them do not open a lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from bench import models
from bench.augment import jitter
from bench.contracts import Augment, DefenderView


def is_apart(passes: str, model: nn.Module) -> bool:
    """Whether unauthorised images have a pass of their own beside the one that both sides share.

    Args:
        passes: ``joint`` or ``apart``.
        model: without batch norm a pass apart gives the same outputs, so none is made.
    """
    return passes == "apart" and models.has_batch_norm(model)


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms of ``model`` take the batch's statistics, and leave the running ones and their count as they are.

    It is a momentum of 0. Other layers keep their mode, so a model in evaluation mode keeps dropout off.
    """
    norms = models.batch_norms(model)
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, tracks) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, tracks


def augmentation(data: DefenderView, name: str) -> Augment | None:
    """How training images are varied; None where they are not.

    Args:
        name: ``victim``: as the victim's were. ``jitter``: moved and turned, in their own colours. ``none``.
    """
    return {"victim": data.augment, "jitter": jitter, "none": None}[name]
