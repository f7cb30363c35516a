"""A lock for tests that is no part of LockBench: it withholds one row of the last layer."""

from __future__ import annotations

import copy

import torch

from bench.contracts import Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.contracts.withheld import Withheld, difference


class Withholding(Lock):
    """The last layer's first row does not ship."""

    paper = "ours"
    key = "weights"
    beyond: bool = param(False, "withhold a place that is not there")

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(unauthorised=False, unauthorised_labels=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        name, weight = next((n, p) for n, p in reversed(list(victim.named_parameters())) if p.ndim == 2)
        shipped = copy.deepcopy(victim)
        with torch.no_grad():
            shipped.get_parameter(name)[0] = 0.0
        run.withhold(difference(dict(victim.named_parameters()), dict(shipped.named_parameters())))
        if self.beyond:
            run.withhold({name: Withheld(torch.tensor([weight.numel()]), torch.ones(1))})
        return shipped
