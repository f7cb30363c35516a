"""Trainings of one shape together, by `torch.func.stack_module_state`, against one after another; one thread.

Run with ``pytest tests/benchmarks/test_bench_stacked.py --benchmark-only``; ratios are in ``extra_info``. Both ways
take the same steps from the same weights on the same batches, and end with the same weights up to rounding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from bench import models
from bench.contracts import Spec

RATE, DECAY = 1e-3, 0.05


def _cnn(seed: int) -> nn.Module:
    return models.build("cnn", Spec(32, tuple("abcdefghij")), weights="random", seed=seed)


def _probe(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(128, 10)


CASES = {
    "victim: CNN, 32 pixels, batch 64": (_cnn, (64, 3, 32, 32), 4, 3),
    "probe: linear, 128 to 10, batch 64": (_probe, (64, 128), 8, 100),
}


def _one_after_another(nets: Sequence[nn.Module], x: Tensor, y: Tensor) -> None:
    """``x`` (M, S, N, ...) and ``y`` (M, S, N): batches of each of M models and S steps."""
    for net, inputs, labels in zip(nets, x, y, strict=True):
        optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        net.train()
        for part, label in zip(inputs, labels, strict=True):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(net(part), label).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()


def _together(nets: Sequence[nn.Module], x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """As `_one_after_another`; the stacked weights at the end."""
    base = copy.deepcopy(nets[0]).train()
    params, buffers = stack_module_state(list(nets))
    params = {name: value.detach() for name, value in params.items()}
    optimiser = torch.optim.AdamW(list(params.values()), lr=RATE, weight_decay=DECAY)

    def loss(own: dict[str, Tensor], state: dict[str, Tensor], part: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, (own, state), (part,)), label)

    gradients = vmap(grad(loss))
    for step in range(x.shape[1]):
        grads = gradients(params, buffers, x[:, step], y[:, step])
        norms = torch.stack([g.flatten(1).square().sum(1) for g in grads.values()]).sum(0).sqrt()
        scale = (1 / (norms + 1e-6)).clamp(max=1)
        for name, value in params.items():
            value.grad = grads[name] * scale.view(-1, *[1] * (value.ndim - 1))
        optimiser.step()
    return params


@pytest.mark.parametrize("case", CASES)
def test_stacked(benchmark: Any, case: str) -> None:
    make, shape, n, steps = CASES[case]
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(n, steps, *shape, generator=rng), torch.randint(0, 10, (n, steps, shape[0]), generator=rng)
    nets = [make(seed) for seed in range(n)]

    own = copy.deepcopy(nets)
    _one_after_another(own, x, y)
    for name, value in _together(nets, x, y).items():
        apart = torch.stack([dict(net.named_parameters())[name] for net in own])
        # Adam's first steps divide by the gradient: where it is all rounding, so is the step, of at most the rate.
        assert (value - apart).abs().max() <= 2 * steps * RATE
        assert (value - apart).abs().mean() <= RATE / 4

    benchmark.pedantic(lambda: _together(nets, x, y), rounds=1)
    ratios = [
        _processor(lambda: _one_after_another(copy.deepcopy(nets), x, y)) / _processor(lambda: _together(nets, x, y))
        for _ in range(5)
    ]
    benchmark.extra_info |= {"trainings": n, "speed_over_one_by_one": [round(ratio, 2) for ratio in sorted(ratios)]}


def _processor(call: Callable[[], Any]) -> float:
    """Seconds of processor time, which other work on the machine changes less than wall time."""
    start = time.process_time()
    call()
    return time.process_time() - start
