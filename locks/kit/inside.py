"""Training that moves a few weights of a model and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bench.contracts import Batch, Classifier, Images, Run
from bench.gradients import gradients_inside


def fit_inside(
    model: Classifier,
    masks: Mapping[str, Tensor],
    loss: Callable[[Batch], Tensor],
    steps: int,
    images: Images,
    run: Run,
    rate: float,
    batch: int,
    name: str,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Minimise ``loss`` by the entries in ``masks`` alone; every other weight and statistic stays, bit for bit.

    Args:
        masks: truth values by parameter, in its shape.
        limits: by parameter, between which its masked entries are kept after each step.
    """
    weights = {n: model.get_parameter(n) for n in masks}

    @torch.no_grad()
    def keep(_done: int) -> None:
        for n, (low, high) in (limits or {}).items():
            weights[n].copy_(torch.where(masks[n], weights[n].clamp(low, high), weights[n]))

    # Adam without weight decay: a step of a gradient that was always 0 is 0, so the other entries do not move.
    with gradients_inside((weights[n], at) for n, at in masks.items()):
        run.fit(
            model, loss, steps, images,
            batch=batch, name=name, parameters=list(weights.values()), train_mode=False, clip=0, each=keep,
            schedule=lambda _: 1.0, optimiser=lambda own: torch.optim.Adam(own, lr=rate),
        )  # fmt: skip
    keep(steps)
