"""Channels last: the same values in another order of memory, and the old order afterwards."""

from __future__ import annotations

import torch
from torch import nn

from bench import layout


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))


def test_the_weights_are_channels_last_in_the_block_alone() -> None:
    net = _net()
    first, values = net[0].weight, [p.detach().clone() for p in net.parameters()]
    with layout.channels_last(net):
        assert net[0].weight is first  # an optimiser holds it
        assert first.is_contiguous(memory_format=torch.channels_last)
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), values, strict=True))
    assert first.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), values, strict=True))


def test_a_step_is_the_same_up_to_rounding() -> None:
    x, grads = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)), []
    for on in (False, True):
        net = _net()
        with layout.channels_last(net, on):
            net(layout.last(x) if on else x).square().sum().backward()
            torch.optim.SGD(net.parameters(), 0.1).step()
        grads.append([p.detach() for p in net.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_a_transformer_is_not_convolutional() -> None:
    assert layout.is_convolutional(_net())
    assert not layout.is_convolutional(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), nn.Linear(16, 2)))
