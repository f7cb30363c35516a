"""Weights that do not ship: what the rightful user holds where the key is in the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Withheld:
    """Some entries of one parameter.

    Args:
        at: (n,) int64, their places in the flattened parameter, each once.
        values: (n,) floating, what stands there in the working model.
    """

    at: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.at)


def put_back(weights: Mapping[str, Tensor], withheld: Mapping[str, Withheld]) -> dict[str, Tensor]:
    """``weights`` by name with ``withheld`` entries in place; parameters that change are copies.

    Raises:
        KeyError: a parameter that ``weights`` have not.
    """
    out = dict(weights)
    for name, part in withheld.items():
        weight = weights[name].detach().clone(memory_format=torch.contiguous_format)
        weight.view(-1)[part.at.to(weight.device)] = part.values.to(weight)
        out[name] = weight
    return out


def difference(working: Mapping[str, Tensor], shipped: Mapping[str, Tensor]) -> dict[str, Withheld]:
    """What ``put_back`` needs to make ``working`` of ``shipped``: every entry in which the two differ.

    Both have the same names and shapes. Parameters that are equal are left out.
    """
    out = {}
    for name, weight in working.items():
        at = torch.nonzero((weight != shipped[name]).flatten()).flatten()
        if len(at):
            out[name] = Withheld(at.cpu(), weight.detach().flatten()[at].cpu())
    return out
