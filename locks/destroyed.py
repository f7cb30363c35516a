"""A lock that keeps nothing: random weights."""

from __future__ import annotations

import torch

from bench.contracts import Classifier, DefenderView, Key, Lock, Run


class Destroyed(Lock):
    """Random weights, in which there is nothing to find: no attack may open it.

    It calibrates the public baseline: an advantage over it here is an error of the benchmark.
    """

    title = "destroyed"
    role = "control"
    purpose = "must-not-open"
    tasks = ("classification", "segmentation")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        rng = run.rng("destroyed")
        with torch.no_grad():
            for parameter in victim.parameters():
                scale = 1.0 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
                noise = torch.randn(parameter.shape, generator=rng) * scale
                parameter.copy_((1 + 0.1 * noise if parameter.ndim < 2 else noise).to(parameter.device))
            for name, buffer in victim.named_buffers():
                if name.endswith("running_mean"):
                    buffer.zero_()
                elif name.endswith("running_var"):
                    buffer.fill_(1.0)
        return victim
