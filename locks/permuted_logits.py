"""A lock that only renames its answers: the rows of the head are permuted."""

from __future__ import annotations

import torch

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
        for name in _output_layer(victim, data.spec.is_dense):
            state[name] = state[name][permutation.to(state[name].device)]
        victim.load_state_dict(state)
        return victim


def _output_layer(model: Classifier, is_dense: bool) -> list[str]:
    """Names of the parameters of the layer that makes the outputs: the last linear layer in the order of modules.

    Args:
        is_dense: a model that answers for every pixel ends with a convolution.
    """
    kinds = (torch.nn.Linear, torch.nn.Conv2d) if is_dense else (torch.nn.Linear,)
    name, layer = [(name, m) for name, m in model.named_modules() if isinstance(m, kinds)][-1]
    return [f"{name}.{parameter}" for parameter, _ in layer.named_parameters()]
