"""Attacks that compare weights with the public ones, on locks that wrap a network: they reach what is inside."""

from __future__ import annotations

import copy

import pytest
import torch
from wrapped import KINDS, wrapped

from attacks import interpolation, merging
from attacks.kit import suspects, tuning, zeros
from bench import models
from bench.contracts import Budget, Classifier, Images, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.parameters import counterparts, layer_weights
from bench.training import Run, metered

SPEC = Spec(size=16, classes=tuple("abc"))


@pytest.fixture(params=KINDS)
def locked(request: pytest.FixtureRequest) -> Classifier:
    return wrapped(request.param, models.build("cnn", SPEC, weights="random", seed=1), 16).eval()


@pytest.fixture
def public() -> Classifier:
    return models.build("cnn", SPEC, weights="random", seed=2).eval()


def _body(locked: Classifier, public: Classifier) -> dict[str, torch.Tensor]:
    own = counterparts(locked, public, head=False)
    assert len(own) > 20
    return {name: value for name, value in own.items() if value.is_floating_point()}


def test_all_the_way_to_the_public_model_is_its_network_under_the_locked_head(
    locked: Classifier, public: Classifier
) -> None:
    before, after = locked.state_dict(), interpolation.mixture(locked, public, 1.0).state_dict()
    body = _body(locked, public)
    assert all(torch.equal(after[name], value) for name, value in body.items())
    assert all(torch.equal(after[name], value) for name, value in before.items() if name not in body)


def test_task_arithmetic_reaches_the_network_inside(locked: Classifier, public: Classifier) -> None:
    own = merging.mixture(locked, public, public, 0.0, 0.0)
    mix = merging.mixture(locked, own, public, 0.5, 1.0).state_dict()
    for name, pre in _body(locked, public).items():
        assert torch.equal(own.state_dict()[name], pre)
        torch.testing.assert_close(mix[name], pre + 0.5 * (locked.state_dict()[name] - pre))


def test_merging_trains_what_a_lock_put_back_to_the_public_weights(locked: Classifier, public: Classifier) -> None:
    """It trains two steps, to see which weights move. A fresh network has a gradient in its first layer."""
    name = "inner.net.conv1.0.weight"
    with torch.no_grad():
        locked.get_parameter(name)[:2] = public.get_parameter(name.removeprefix("inner."))[:2]
    before = copy.deepcopy(locked.state_dict())
    images = Images(torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8), torch.arange(12) % 3)
    with metered(run := Run(1)):
        restored = merging.Merging(steps=2, batch=6)._restored(locked, public, images, run)
    assert restored is not None
    moved = {n: (value != before[n]).flatten(1).any(1).nonzero().flatten().tolist() for n, value in
             restored.state_dict().items() if not torch.equal(value, before[n])}  # fmt: skip
    assert moved == {name: [0, 1]}


def test_weights_far_from_the_public_ones_are_found_inside_and_filled(locked: Classifier, public: Classifier) -> None:
    own, name = counterparts(locked, public, head=False), "inner.net.layer1.0.conv1.weight"
    with torch.no_grad():
        for n, value in own.items():
            locked.state_dict()[n].copy_(value)
        locked.get_parameter(name)[3, 1] += 50.0
        for n, weight in layer_weights(locked).items():
            if n in own:
                weight.add_(1e-3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    found = suspects.find_suspects(locked, public, ("public",), 8.0)
    assert found.keys() == {name}
    assert found[name].flatten(2).all(2).nonzero().tolist() == [[3, 1]]
    full = zeros.refill(locked, found, public=public).get_parameter(name)
    assert torch.equal(full[3, 1], public.get_parameter(name.removeprefix("inner."))[3, 1])


def test_rates_fall_with_depth_inside_too(locked: Classifier) -> None:
    groups = tuning.parameter_groups(locked, "layer-wise", 1.0, 0.5, False)
    assert len({group["lr"] for group in groups}) > 3


@pytest.mark.parametrize("name", ["interpolation", "merging", "weight-repair"])
def test_an_attack_hands_in_a_model_of_the_same_form(name: str, locked: Classifier, public: Classifier) -> None:
    """It trains one step at most; that the whole attack runs is what is claimed."""
    from bench import registry

    pixels = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    labelled = Images(pixels, torch.arange(12) % 3)
    threat = ThreatModel(access="weights", share=0.5, wordlist="none", known="none")
    granted = {"classifier": locked, "labelled": labelled, "unlabelled": labelled.unlabelled()}
    run = Run(1)
    view = AttackerView(SPEC, threat, Budget(), granted, {}, lambda _: copy.deepcopy(public), None, run.meter)
    params = {"points": 2} if name == "interpolation" else {"steps": 1, "batch": 6}
    with metered(run):
        predictor = registry.INSTALLED.make("attack", name, {**params, **({"points": 2} if name == "merging" else {})})
        answers = predictor.unlock(view, run)
    assert answers(labelled.images).shape == (12, 3)
    assert view.denied == []
