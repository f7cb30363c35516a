"""The weights that a lock in the weights may withhold: those of convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bench.contracts import Batch, Classifier, Images, Run


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers by name, in the order of modules; dimension 0 is filters."""
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return {f"{name}.weight": module.weight for name, module in layers}


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
    hooks = [weights[n].register_hook(lambda g, at=at: g * at) for n, at in masks.items()]
    run.fit(
        model, loss, steps, images,
        batch=batch, name=name, parameters=list(weights.values()), train_mode=False, clip=0, each=keep,
        schedule=lambda _: 1.0, optimiser=lambda own: torch.optim.Adam(own, lr=rate),
    )  # fmt: skip
    keep(steps)
    for hook in hooks:
        hook.remove()
