"""Weights that look as if a lock had changed them, and what can stand in their place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attacks.kit.zeros import Zeros
from bench import models
from bench.contracts import Classifier

MOST = 0.3
"""Share of a layer's weights above which a rule says nothing of it: it has no outliers then."""


def layers(model: nn.Module) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers by parameter name."""
    named = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return {f"{name}.weight": module.weight.detach() for name, module in named}


def repeated(weight: Tensor) -> Tensor:
    """Where a value stands that occurs more than once: training leaves none, a limit and a fill do."""
    _, place, count = weight.flatten().unique(return_inverse=True, return_counts=True)
    return (count[place] > 1).view_as(weight)


def outliers(values: Tensor, z: float) -> Tensor:
    """Where ``values`` are more than ``z`` robust standard deviations from their median.

    The robust deviation is 1.4826 times the median distance from the median, that of a normal distribution.
    """
    distance = (values - values.median()).abs()
    return distance > z * 1.4826 * distance.median().clamp_min(1e-12)


def find_suspects(model: Classifier, public: Classifier | None, rules: Sequence[str], z: float) -> Zeros:
    """Where weights look changed, by parameter name; only layers that have any.

    Args:
        public: the public model; without it nothing is far from it.
        rules: of ``repeated``, ``public`` (far from the public weight), ``size`` (far from the layer's median).
        z: of `outliers`.
    """
    other = {} if public is None else dict(public.named_parameters())
    head = set(models.head_names(model))  # its public weights are drawn, so it is far from them everywhere
    out = {}
    for name, weight in layers(model).items():
        found = []
        if "repeated" in rules:
            found.append(repeated(weight))
        if "public" in rules and name in other and name not in head and other[name].shape == weight.shape:
            found.append(outliers(weight - other[name].detach().to(weight.device), z))
        if "size" in rules:
            found.append(outliers(weight, z))
        at = torch.zeros_like(weight, dtype=torch.bool)
        for one in found:
            if float(one.float().mean()) <= MOST:
                at |= one
        if bool(at.any()):
            out[name] = at
    return out


def of_places(model: Classifier, places: Mapping[str, Any]) -> Zeros:
    """The weights whose places in each flattened parameter are known; those of no layer are left out."""
    out = {}
    for name, weight in layers(model).items():
        known = [int(i) for i in places.get(name, ()) if 0 <= int(i) < weight.numel()]
        if known:
            at = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
            at[torch.tensor(known, device=weight.device)] = True
            out[name] = at.view_as(weight)
    return out


@torch.no_grad()
def levelled(model: Classifier, suspects: Zeros) -> Classifier:
    """A copy of ``model`` whose suspects have the mean of the other weights of their layer."""
    out = copy.deepcopy(model)
    for name, at in suspects.items():
        weight = out.get_parameter(name)
        others = weight[~at]
        weight[at] = others.mean() if len(others) else torch.zeros((), device=weight.device)
    return out
