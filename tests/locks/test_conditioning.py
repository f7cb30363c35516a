"""Condition numbers: both regularisers and their gradients by hand, and CLAMP's bound where it is known exactly."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench import models
from bench.contracts import Batch, Spec
from locks.clamp import CLAMP, length, long_run, unit
from locks.kit.conditioning import even, ill, kappa, spectrum, well

SPEC = Spec(32, ("a", "b", "c"))
SIGMA = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)


def test_both_regularisers_are_the_papers() -> None:
    """‖S‖_F² = 21, k = 3."""
    assert float(ill(SIGMA)) == pytest.approx(1 / (21 / 6 - 1 / 2))
    assert float(well(SIGMA)) == pytest.approx(16 / 2 - 21 / 6)
    assert float(well(torch.full((4,), 3.0))) == 0  # all alike: nothing to gain


def test_the_published_gradient_has_the_value_of_the_exact_one_and_another_denominator() -> None:
    gap = 21 / 6 - 1 / 2
    toward = torch.tensor([4 / 3, 2 / 3, 1 / 3 - 1], dtype=torch.float64)  # of the gap: σ_i / k, less σ_min at the last
    for gradient, under in (("exact", gap), ("published", math.sqrt(21) / 6 + 1 / 2)):
        sigma = SIGMA.clone().requires_grad_()
        value = ill(sigma, gradient)
        value.backward()  # type: ignore[no-untyped-call]
        assert value.item() == pytest.approx(1 / gap)
        torch.testing.assert_close(sigma.grad, -toward / under**2)


def test_the_spectrum_is_that_of_the_second_moments_whichever_side_is_longer() -> None:
    phi = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    direct = torch.linalg.svdvals((phi.T @ phi).double())
    torch.testing.assert_close(spectrum(phi), direct, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(spectrum(phi.T), spectrum(phi))  # the same values, and no zeros beside them


@given(st.floats(0.01, 100))
def test_larger_features_alone_change_neither_term_once_divided_by_their_mean(factor: float) -> None:
    for term in (ill, well):
        assert float(term(even(SIGMA * factor))) == pytest.approx(float(term(even(SIGMA))))
    assert float(kappa(SIGMA * factor)) == pytest.approx(4, rel=1e-5)


def test_a_silent_channel_leaves_the_condition_number_finite() -> None:
    assert 1e6 < float(kappa(torch.tensor([2.0, 1.0, 0.0]))) < 1e7


def test_the_bound_on_a_long_attack_is_exact_arithmetic_on_a_quadratic() -> None:
    """L = a ‖ω‖² / 2: T contracts by 1 − ηa in every direction, and g = aω, L̃ = a.

    So B = ‖ω‖, and the tail is 3/2 a ‖ω‖².
    """
    a, rate = 2.0, 0.1
    omega = [torch.tensor([3.0, 0.0], requires_grad=True), torch.tensor([[4.0]], requires_grad=True)]
    v = unit(omega, torch.Generator().manual_seed(0))
    assert float(length(v)) == pytest.approx(1)

    def loss(weights: object) -> torch.Tensor:
        return a / 2 * length(list(weights)).square()  # type: ignore[call-overload, no-any-return]

    here, c, tail = long_run(loss, omega, v, 0.01, rate)
    assert here.item() == pytest.approx(25)
    assert c.item() == pytest.approx(1 - rate * a, abs=1e-4)
    assert tail.item() == pytest.approx(1.5 * a * 25, rel=1e-3)
    assert tail.item() > here.item()  # it bounds what there is to win
    gradient = torch.autograd.grad(tail, omega)
    torch.testing.assert_close(gradient[0], 3 * a * omega[0].detach(), rtol=5e-3, atol=5e-2)


def test_an_attack_that_does_not_contract_has_a_bound_all_the_same() -> None:
    omega = [torch.ones(2, requires_grad=True)]

    def flat(weights: object) -> torch.Tensor:
        return next(iter(weights)).sum()  # type: ignore[call-overload, no-any-return]

    _, c, tail = long_run(flat, omega, unit(omega, torch.Generator().manual_seed(0)), 0.01, 0.1)
    assert c.item() == pytest.approx(1)
    assert tail.item() == pytest.approx(math.sqrt(2) * 0.1 * math.sqrt(2) / 0.05, rel=1e-3)


def test_dropout_takes_no_part_in_what_two_gradients_are_compared_by() -> None:
    """A hidden head has dropout. Under it ĉ and the tail were those of two masks."""
    model = models.build("cnn:16-16", SPEC, weights="random").train()
    assert any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    rng = torch.Generator().manual_seed(0)
    batches = [Batch(torch.rand(6, 3, 32, 32, generator=rng), torch.arange(6) % 3, torch.arange(6)) for _ in range(2)]
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(CLAMP(inner=1)._harm(copy.deepcopy(model), batches, torch.Generator().manual_seed(3)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
