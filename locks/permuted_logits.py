"""A lock that only renames its answers: the rows of the head are permuted."""

from __future__ import annotations

import torch

from bench import models
from bench.contracts import Classifier, DefenderView, Key, Lock, Run


class PermutedLogits(Lock):
    """The victim with its classes permuted in secret: logit surgery must open it."""

    title = "permuted logits"
    role = "control"
    purpose = "must-open"
    opened_by = "logit-surgery"
    tasks = ("classification", "segmentation")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        rng = run.rng("permutation")
        order = torch.randperm(victim.k, generator=rng)
        permutation = torch.empty_like(order)
        permutation[order] = order.roll(1)  # a cycle: class order[i] answers as order[i - 1], so none keeps its name
        state = victim.state_dict()
        for name in models.output_names(victim):
            state[name] = state[name][permutation.to(state[name].device)]
        victim.load_state_dict(state)
        return victim
