"""Weights that are exactly zero: where they are, and what can stand in their place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bench.contracts import Classifier

Zeros = dict[str, Tensor]
"""Where each weight of a convolution or linear layer is exactly zero, by parameter name; only layers that have any."""


def find_zeros(model: nn.Module) -> Zeros:
    """Where weights of convolutions and linear layers are exactly zero; weights that training leaves never are."""
    zeros = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and bool((module.weight == 0).any()):
            zeros[f"{name}.weight"] = module.weight.detach() == 0
    return zeros


@torch.no_grad()
def refill(
    model: Classifier, zeros: Zeros, public: Classifier | None = None, rng: torch.Generator | None = None
) -> Classifier:
    """A copy of ``model`` with its zeros replaced by weights of ``public``, or by random ones.

    Random values are normal, with the mean and deviation of the weights that are not zero in the same filter (one
    output channel). A filter with fewer than two of those takes the mean and deviation of its layer.
    """
    full = copy.deepcopy(model)
    other = {} if public is None else dict(public.named_parameters())
    for name, at in zeros.items():
        weight = full.get_parameter(name)
        if public is not None:
            if name in other and other[name].shape == weight.shape:
                weight[at] = other[name].to(weight.device)[at]
            continue
        rows, pruned = weight.flatten(1), at.flatten(1)
        count = (~pruned).sum(1, keepdim=True)
        mean = rows.sum(1, keepdim=True) / count.clamp_min(1)
        variance = (((rows - mean) ** 2) * ~pruned).sum(1, keepdim=True) / count.clamp_min(1)
        others = rows[~pruned] if bool((~pruned).any()) else torch.zeros(1, device=rows.device)
        mean = torch.where(count > 1, mean, others.mean())
        deviation = torch.where(count > 1, variance.sqrt(), others.std(unbiased=False))
        sample = mean + deviation * torch.randn(rows.shape, generator=rng).to(rows.device)
        weight.copy_(torch.where(pruned, sample, rows).view_as(weight))
    return full
