"""Exits: routing by entropy by hand, exits that do not see one another, and a network below that stays as it is."""

from __future__ import annotations

import math

import pytest
import torch

from bench import models, registry
from bench.contracts import Images, Spec
from bench.harness.views import DefenderView
from bench.keys.domain import InDomain
from bench.parameters import network
from bench.training import Run
from locks.kit.exits import Exits, Routed, divergence, log_route, mixture

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_surer_exit_counts_more_by_the_exponent_of_its_entropy() -> None:
    logits = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0]]])  # p = (3/4, 1/4) and (1/2, 1/2)
    entropy = [-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), math.log(2)]
    weights = [math.exp(-h / 0.5) for h in entropy]
    r = weights[0] / sum(weights)
    assert float(log_route(logits, 0.5)[0, 0].exp()) == pytest.approx(r)
    first = 0.75 * r + 0.5 * (1 - r)
    torch.testing.assert_close(mixture(logits, 0.5).exp(), torch.tensor([[first, 1 - first]]))


def test_the_divergence_is_that_of_two_gaussians() -> None:
    mean, variance = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 4.0]]])
    assert float(divergence(mean, variance.log())) == pytest.approx(0.5 + 0.5 * (4 - 1 - math.log(4)))


def test_no_exit_sees_what_another_one_reads() -> None:
    exits = Exits([2, 3], 4, 5).eval()
    before = exits(torch.zeros(1, 5))
    after = exits(torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0]]))
    assert after.shape == (1, 2, 5)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_a_routed_model_comes_back_from_its_spec_and_answers_through_its_head() -> None:
    victim = models.build("cnn", Spec(size=16, classes=tuple("abc")), weights="random", seed=0)
    width = [f.shape[1] for f in victim.eval().features(IMAGES)]
    spec = {"class": "locks.kit.exits:Routed", "inner": victim.spec, "stages": [0, 2], "latent": 4}
    model = Routed({**spec, "widths": [width[0], width[2], victim.embed(IMAGES).shape[1]], "temperature": 0.1})
    model.inner.load_state_dict(victim.state_dict())
    model.train()
    assert not model.inner.training
    assert model.last.training
    model.eval()
    torch.testing.assert_close(model(IMAGES), model.head(model.embed(IMAGES)))
    torch.testing.assert_close(model(IMAGES).exp().sum(1), torch.ones(3))
    again = models.rebuild(model.spec, model.state_dict())
    torch.testing.assert_close(again(IMAGES), model(IMAGES))
    torch.testing.assert_close(model.features(IMAGES)[1], victim.features(IMAGES)[1])
    names = models.head_names(model)
    assert names[0] == "last.classify.weight"
    assert {n.partition(".")[0] for n in names} == {"last"}


def test_routing_and_its_gradient_are_finite_where_a_weight_is_too_small_for_its_type() -> None:
    """At τ = 0.001 nats an unsure exit's weight is e^−693, which float32 has as 0."""
    logits = torch.tensor([[[40.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    log_r = log_route(logits, 1e-3)
    assert float(log_r[0, 1].detach()) == pytest.approx(-1000 * math.log(2), rel=1e-4)
    (gradient,) = torch.autograd.grad(mixture(logits, 1e-3)[0, 1], logits)
    assert torch.isfinite(gradient).all()
    (gradient,) = torch.autograd.grad(log_route(logits, 1e-3)[0, 0] + log_route(logits, 1e-3)[0, 1], logits)
    assert torch.isfinite(gradient).all()


def test_the_network_below_does_not_ship_with_the_victims_head(spec: Spec, toy: Images) -> None:
    """Trains two steps. No exit reads that head; with it every attacker with the weights would have the victim."""
    victim = models.build("cnn", spec, seed=3).eval()
    before = models.outputs(victim, toy.images[:8])
    lock = registry.INSTALLED.make("lock", "enl-dee", {"steps": 2, "exits": 2, "latent": 4})
    view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), lambda e: models.build("cnn", spec, e))
    after = lock.protect(victim, InDomain(), view, Run(1))
    prefix, below = network(after)
    assert prefix
    torch.testing.assert_close(below.embed(toy.images[:8]), victim.embed(toy.images[:8]))
    assert float((models.outputs(below, toy.images[:8]) - before).abs().max()) > 0.1
