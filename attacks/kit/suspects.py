"""Weights that look as if a lock had changed them, and what can stand in their place."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attacks.kit.zeros import Zeros
from bench.contracts import Classifier
from bench.parameters import counterparts, layer_weights

MOST = 0.3
"""Share of a layer's weights above which a rule says nothing of it: it has no outliers then."""
OFTEN, OFTEN_SHARE = 4, 1e-4
"""How often a value occurs at least, and as a share of its layer, that is no coincidence of float32."""


def repeats(weight: Tensor) -> Tensor:
    """Where a value stands that occurs more often than training leaves it, as after a limit or a fill.

    At the layer's least value, its greatest and 0 two are enough. Elsewhere a large layer has pairs by chance, since
    float32 has only so many values: there it takes max(`OFTEN`, `OFTEN_SHARE` · n) of n weights.
    """
    values, place, count = weight.flatten().unique(return_inverse=True, return_counts=True)
    is_end = (values == values[0]) | (values == values[-1]) | (values == 0)
    least = torch.where(is_end, 2, max(OFTEN, math.ceil(OFTEN_SHARE * weight.numel())))
    return (count >= least)[place].view_as(weight)


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
    # The public head's weights are drawn, so a head is far from them everywhere.
    other = {} if public is None else counterparts(model, public, head=False)
    out = {}
    for name, parameter in layer_weights(model).items():
        weight, found = parameter.detach(), []
        if "repeated" in rules:
            found.append(repeats(weight))
        if "public" in rules and name in other:
            found.append(outliers(weight - other[name].to(weight.device), z))
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
    for name, weight in layer_weights(model).items():
        known = [int(i) for i in places.get(name, ()) if 0 <= int(i) < weight.numel()]
        if known:
            at = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
            at[torch.tensor(known, device=weight.device)] = True
            out[name] = at.view_as(weight)
    return out


@torch.no_grad()
def level(model: Classifier, suspects: Zeros) -> Classifier:
    """A copy of ``model`` whose suspects have the mean of the other weights of their layer."""
    out = copy.deepcopy(model)
    for name, at in suspects.items():
        weight = out.get_parameter(name)
        others = weight[~at]
        weight[at] = others.mean() if len(others) else torch.zeros((), device=weight.device)
    return out
