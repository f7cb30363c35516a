"""A lock that only renames its answers: the rows of the head are permuted."""

from __future__ import annotations

import torch

from bench.contracts import Classifier, DefenderView, Key, Lock, Run


class PermutedLogits(Lock):
    """The victim with its classes renamed by a secret permutation; logit surgery must open it fully."""

    title = "permuted logits"
    role = "control"
    purpose = "must-open"
    opened_by = "logit-surgery"

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        rng = run.rng("permutation")
        order = torch.randperm(victim.k, generator=rng)
        renamed = order.roll(1)  # class order[i] answers as order[i - 1]: a cycle, so no class keeps its name
        permutation = torch.empty_like(order)
        permutation[order] = renamed
        state = victim.state_dict()
        rows = [name for name, value in state.items() if _is_head(victim, name, value)]
        for name in rows:
            state[name] = state[name][permutation.to(state[name].device)]
        victim.load_state_dict(state)
        return victim


def _is_head(victim: Classifier, name: str, value: torch.Tensor) -> bool:
    """Whether ``name`` belongs to the last linear layer: found by what changes the head's output alone."""
    last = [module for _, module in victim.named_modules() if isinstance(module, torch.nn.Linear)][-1]
    return any(value.data_ptr() == p.data_ptr() for p in last.parameters())
