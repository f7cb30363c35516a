"""Randomised smoothing: votes, their gradient, and a certificate that an adversary inside its radius cannot break."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import models
from bench.contracts import Classifier, EditStage, Spec
from locks.kit.family import with_stages
from locks.kit.smoothed import Smoothed, certified_radii, radius


def test_the_radius_is_that_of_the_paper() -> None:
    """All 100 votes: p_A = α^(1/100), and Φ⁻¹(0.9332543) = 1.5005."""
    assert radius(100, 100, 0.5, 0.001) == pytest.approx(0.5 * 1.50051, abs=1e-4)
    assert radius(0, 100, 0.5) == 0
    assert radius(50, 100, 0.5) == 0  # no majority
    assert radius(90, 100, 1.0) == pytest.approx(2 * radius(90, 100, 0.5))
    assert [radius(n, 100, 0.25) for n in (60, 70, 80)] == sorted(radius(n, 100, 0.25) for n in (60, 70, 80))


def _smoothed(votes: int = 64, sigma: float = 0.5) -> Smoothed:
    inner = models.build("cnn", Spec(size=16, classes=("a", "b")), weights="random", seed=0)
    return Smoothed.of(inner, sigma, votes, 5).eval()


def test_scores_are_shares_of_votes_and_repeat_whatever_stands_beside_an_image() -> None:
    model = _smoothed()
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    counts = model.counts(images)
    assert counts.sum(1).tolist() == [64] * 5
    torch.testing.assert_close(model(images).exp(), (counts / 64).clamp(min=1e-3))
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]))
    again = models.rebuild(model.spec, model.state_dict())
    assert torch.equal(again(images), model(images))


def test_whoever_reads_the_stages_gets_each_of_them_once() -> None:
    model, images = _smoothed(), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    outputs, stages = with_stages(model, images)
    torch.testing.assert_close(stages, model.features(images))
    torch.testing.assert_close(outputs, model.inner(images))


def test_a_white_box_attacker_has_a_gradient() -> None:
    images = torch.rand(2, 3, 16, 16).requires_grad_()
    _smoothed(4)(images)[:, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_class_without_a_vote_has_the_gradient_of_the_log_of_the_mean_softmax() -> None:
    model, images = _smoothed(4, 0.01), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    loser = int(model.counts(images)[0].argmin())
    assert model.counts(images)[0, loser] == 0
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[0, loser], images)
    noisy = torch.cat([images + model.noise((3, 16, 16), at) for at in range(4)])
    (direct,) = torch.autograd.grad(model.inner(noisy).softmax(1)[:, loser].mean().log(), images)
    assert direct.abs().max() > 1e-4
    torch.testing.assert_close(gradient, direct, rtol=1e-3, atol=1e-5)


class Half(Classifier):
    """Class 1 where the mean of the image's values is above one half: its smoothed form is known in closed form."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec, self.k, self.extra = spec, 2, 0
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        d = images.flatten(1).mean(1) - 0.5
        return self.scale * torch.stack([-d, d], 1)

    features = embed = head = forward  # type: ignore[assignment]


def test_no_change_inside_the_radius_changes_the_class_and_one_outside_the_true_radius_does() -> None:
    """The true radius is the distance to the plane; the certificate is below it, and not by much."""
    from bench import registry

    registry.current().run_guests, before = True, registry.current().run_guests
    try:
        inner = Half({"class": f"{__name__}:Half", "extra": 0})
        model = Smoothed.of(inner, 0.5, 500, 3).eval()
        images = torch.full((1, 3, 4, 4), 0.5) + 0.1
        labels = torch.tensor([1])
        radii = certified_radii(model, images, labels, 2000)
        true = 0.1 * math.sqrt(48)
        assert 0.7 * true < float(radii) < true
        worst = -torch.ones_like(images) / math.sqrt(48)  # straight to the plane
        assert model(images + 0.95 * float(radii) * worst).argmax(1) == 1
        assert model(images + 1.3 * true * worst).argmax(1) == 0
        assert certified_radii(model, images, 1 - labels, 2000) == -1  # certain, and wrong
    finally:
        registry.current().run_guests = before
