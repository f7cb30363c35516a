"""The one training loop: its options against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Batch, Images, NoLabels
from bench.training import Run, warm_cosine


class Scale(nn.Module):
    """One weight w; its loss w² / 2 has the gradient w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0]))


def _loss(model: Scale) -> Tensor:
    return (model.w**2).sum() / 2


def _sgd(rate: float):  # type: ignore[no-untyped-def]
    return lambda params: torch.optim.SGD(params, lr=rate)


def test_an_optimiser_and_a_schedule_of_ones_own(toy: Images) -> None:
    """w ← (1 − η f(s)) w for SGD at rate η under the factor f."""
    model, factors = Scale(), [1.0, 0.5, 0.25]
    Run(0).fit(
        model, lambda _: _loss(model), 3, toy, optimiser=_sgd(0.1), schedule=lambda share: factors[round(share * 3)],
        clip=0,
    )  # fmt: skip
    assert model.w.item() == pytest.approx(2.0 * math.prod(1 - 0.1 * f for f in factors))


def test_a_backward_of_ones_own_leaves_the_gradient_that_is_used(toy: Images) -> None:
    model, steps = Scale(), []

    def backward(loss, params) -> None:  # type: ignore[no-untyped-def]
        assert float(loss()) == pytest.approx(model.w.item() ** 2 / 2)
        params[0].grad = torch.tensor([1.0])

    Run(0).fit(
        model, lambda _: _loss(model), 2, toy, optimiser=_sgd(0.1), schedule=lambda _: 1.0, backward=backward,
        each=steps.append, clip=0,
    )  # fmt: skip
    assert model.w.item() == pytest.approx(2.0 - 2 * 0.1)
    assert steps == [0, 1]


def test_a_precision_that_is_not_known_is_refused(toy: Images) -> None:
    model = Scale()
    with pytest.raises(ValueError, match="float32, bfloat16"):
        Run(0).fit(model, lambda _: _loss(model), 1, toy, precision="float8")
    Run(0).fit(model, lambda _: _loss(model), 1, toy, precision="bfloat16")


def test_the_rate_rises_and_falls() -> None:
    factors = [warm_cosine(step / 10, 10, 0.2) for step in range(10)]
    assert factors[0] == pytest.approx(0.5)
    assert factors[1] == pytest.approx(0.5 * (1 + math.cos(math.pi / 10)))
    assert factors[1:] == sorted(factors[1:], reverse=True)


def test_labels_that_are_not_there_say_so(toy: Images) -> None:
    batch = toy.unlabelled().take(torch.arange(2))
    assert not batch.labelled
    with pytest.raises(NoLabels, match="ask `labelled`"):
        _ = batch.labels
    labelled = Batch(batch.images, torch.tensor([0, 1]), batch.index).with_images(batch.images * 0)
    assert labelled.labels.tolist() == [0, 1]
