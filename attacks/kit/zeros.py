"""Weights that are exactly zero: where they are, and what can stand in their place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from bench.contracts import Classifier
from bench.parameters import counterparts, layer_weights

Zeros = dict[str, Tensor]
"""Where each weight of a convolution or linear layer is exactly zero, by parameter name; only layers that have any."""


def find_zeros(model: Classifier) -> Zeros:
    """Where weights of convolutions and linear layers are exactly zero; weights that training leaves never are."""
    zeros = {name: weight.detach() == 0 for name, weight in layer_weights(model).items()}
    return {name: at for name, at in zeros.items() if bool(at.any())}


@torch.no_grad()
def refill(
    model: Classifier, zeros: Zeros, public: Classifier | None = None, rng: torch.Generator | None = None
) -> Classifier:
    """A copy of ``model`` with other weights at ``zeros``: those of ``public``, or random ones.

    The public head's weights are drawn, so a head keeps its own where ``public`` is given. Random values are normal,
    with the mean and deviation of the other weights of the same filter (one output channel). A filter with fewer than
    two of those takes the mean and deviation of its layer.
    """
    full = copy.deepcopy(model)
    other = {} if public is None else counterparts(model, public, head=False)
    for name, at in zeros.items():
        weight = full.get_parameter(name)
        if public is not None:
            if name in other:
                weight[at] = other[name].to(weight.device)[at]
            continue
        rows, pruned = weight.flatten(1), at.flatten(1)
        count = (~pruned).sum(1, keepdim=True)
        mean = (rows * ~pruned).sum(1, keepdim=True) / count.clamp_min(1)
        variance = (((rows - mean) ** 2) * ~pruned).sum(1, keepdim=True) / count.clamp_min(1)
        others = rows[~pruned] if bool((~pruned).any()) else torch.zeros(1, device=rows.device)
        mean = torch.where(count > 1, mean, others.mean())
        deviation = torch.where(count > 1, variance.sqrt(), others.std(unbiased=False))
        sample = mean + deviation * torch.randn(rows.shape, generator=rng).to(rows.device)
        weight.copy_(torch.where(pruned, sample, rows).view_as(weight))
    return full
