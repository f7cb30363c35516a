"""Attacks on a lock's structure: heads in closed form, exits, merging, traps, and what a rightful user does."""

from __future__ import annotations

import math

import pytest
import torch
from wrapped import wrapped

from attacks.atesc import ATEsc, is_robust
from attacks.kit.depths import OnFeatures, Ridge, all_features, at_depth, axes_of
from attacks.kit.output_maps import margin
from attacks.kit.students import divergence
from attacks.last_exit import AtExit, LastExit
from attacks.merging import mixture
from attacks.persistence import without_least
from bench import models
from bench.contracts import Budget, Classifier, Images, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.training import Run
from locks.kit.exits import Routed

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
SPEC = Spec(size=16, classes=tuple("abc"))


def _x(n: int = 9, d: int = 4) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_leaving_one_out_in_closed_form_is_leaving_it_out() -> None:
    x, labels, ridges = _x(), torch.arange(9) % 3, [1e-3, 1.0]
    fits = Ridge.fits(x, labels, 3, ridges)
    for i in range(9):
        others = torch.arange(9) != i
        for fit, without in zip(fits, Ridge.fits(x[others], labels[others], 3, ridges), strict=True):
            torch.testing.assert_close(fit.left_out[i], without.weight @ x[i] + without.bias)


def test_a_ridge_is_where_its_gradient_is_zero() -> None:
    x, labels = _x(), torch.arange(9) % 3
    (fit,) = Ridge.fits(x, labels, 3, [0.5])
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    y = torch.nn.functional.one_hot(labels, 3).double()
    loss = (y - x @ weight.T - bias).square().sum() + 0.5 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, [weight, bias]):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_one_pass_reads_the_features_of_every_depth() -> None:
    model = models.build("cnn", SPEC, weights="random", seed=0).eval()
    passes: list[int] = []
    images = Images((IMAGES * 255).byte())
    model.get_submodule("passed").register_forward_hook(lambda *_: passes.append(1))
    every = all_features(model, images, True, 2)
    assert len(passes) == 1
    for depth, x in every.items():
        with torch.no_grad():
            torch.testing.assert_close(x, at_depth(model, images.images, depth, 2).double())
    assert len(every) == 1 + len(model.features(images.images))
    assert list(all_features(model, images, False, 2)) == [None]


def test_with_one_label_a_class_unlabelled_images_choose_the_depth_and_the_axes() -> None:
    """Leaving out the only example of a class would leave nothing to learn it from, and favour the flattest head."""
    k, d = 6, 32
    clear, faint = torch.randn(2, k, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rng, spots = torch.Generator().manual_seed(1), torch.linspace(0.3, 2, d, dtype=torch.float64)

    def draw(n: int, means: torch.Tensor, noise: torch.Tensor | float) -> torch.Tensor:
        return means[torch.arange(n) % k] + noise * torch.randn(n, d, generator=rng, dtype=torch.float64)

    margins, right = [], []
    for means, noise in ((2 * clear, spots), (0.2 * faint, 1.0)):
        own, free, test = (draw(n, means, noise) for n in (k, 120, 120))
        every = torch.cat([own, free])
        for axes in axes_of(every).values():
            own_along, free_along, test_along = ((x - every.mean(0)) @ axes for x in (own, free, test))
            (fit,) = Ridge.fits(own_along, torch.arange(k), k, [0.1 * k])
            margins.append(margin(free_along @ fit.weight.T + fit.bias))
            answers = (test_along @ fit.weight.T + fit.bias).argmax(1)
            right.append(float((answers == torch.arange(120) % k).double().mean()))
    assert right[margins.index(max(margins))] == max(right) > 0.8
    assert margin(torch.zeros(4, 3)) == 0


def test_whitened_features_have_condition_number_one_whatever_a_lock_did_to_it() -> None:
    x = _x(50) * torch.tensor([1e4, 1.0, 1e-2, 0.0], dtype=torch.float64)
    out = (x - x.mean(0)) @ axes_of(x)["whitened"]
    torch.testing.assert_close(out.T @ out / 49, torch.eye(3, dtype=torch.float64))  # the silent channel is gone
    plain = (x - x.mean(0)) @ axes_of(x)["plain"]
    assert float(torch.linalg.cond(plain)) > 1e5


def test_a_head_on_features_comes_back_from_its_arguments() -> None:
    model = models.build("cnn", SPEC, weights="random", seed=0).eval()
    for depth, width in ((None, model.embed(IMAGES).shape[1]), (0, 4 * model.features(IMAGES)[0].shape[1])):
        weight = torch.randn(3, width, dtype=torch.float64)
        head = OnFeatures(model, depth, 2, width).set(weight, torch.ones(3))
        again = OnFeatures(model, **head.arguments())
        again.load_state_dict(head.state_dict())
        torch.testing.assert_close(again.predict(IMAGES), head.predict(IMAGES))
        assert head.predict(IMAGES).shape == (4, 3)


def test_an_exit_answers_whatever_the_routing_says() -> None:
    victim = models.build("cnn", SPEC, weights="random", seed=0).eval()
    width = victim.embed(IMAGES).shape[1]
    spec = {"class": "locks.kit.exits:Routed", "inner": victim.spec, "stages": [0], "latent": 4, "temperature": 0.01}
    model = Routed({**spec, "widths": [victim.features(IMAGES)[0].shape[1], width]}).eval()
    with torch.no_grad():
        model.last.classify.weight[:3] *= 100  # the first exit is sure, and takes every image
        torch.testing.assert_close(model(IMAGES).argmax(1), AtExit(model, 0).predict(IMAGES).argmax(1))
        last = model.exits(model.embed(IMAGES))[:, 1]
        torch.testing.assert_close(AtExit(model, -1).predict(IMAGES), last)
    assert LastExit.against == ("enl-dee",)


def test_the_best_exit_is_the_one_that_is_right_on_the_attackers_images() -> None:
    model = wrapped("exits", models.build("cnn", SPEC, weights="random", seed=0), 16).eval()
    with torch.no_grad():
        bias = model.get_parameter("last.classify.bias")
        bias.copy_(torch.tensor([1e3, 0.0, 0.0, 0.0, 0.0, 1e3]))  # the first exit always says a, the last one c
    for label, exit_ in ((0, 0), (2, 1)):
        images = Images((IMAGES * 255).round().byte(), torch.full((len(IMAGES),), label))
        threat = ThreatModel(access="weights", share=0.5, unlabelled=False, wordlist="none", known="none")
        run = Run(1)
        view = AttackerView(
            SPEC, threat, Budget(), {"classifier": model, "labelled": images}, {}, lambda _: model, None, run.meter
        )
        predictor = LastExit(exit="best").unlock(view, run)
        assert predictor.describe() == {"exit": exit_}
        assert run.submissions[-1].note["exit"] == exit_


def test_task_arithmetic_by_hand() -> None:
    locked, own, public = (models.build("cnn", SPEC, weights="random", seed=seed).eval() for seed in (1, 2, 3))
    mix = mixture(locked, own, public, 0.5, 0.25).state_dict()
    a, b, pre = (m.state_dict() for m in (locked, own, public))
    head = models.head_names(locked)
    for name, value in mix.items():
        if not value.is_floating_point():
            continue
        want = (0.5 * a[name] + 0.25 * b[name]) / 0.75
        if name not in head:
            want = pre[name] + 0.5 * (a[name] - pre[name]) + 0.25 * (b[name] - pre[name])
        torch.testing.assert_close(value, want, msg=name)
    start = mixture(locked, public, public, 0.0, 0.0).state_dict()
    assert all(torch.equal(start[n], (a if n in head else pre)[n]) for n in start if start[n].is_floating_point())


def test_pruning_takes_the_same_share_of_every_layer_and_leaves_the_head() -> None:
    model = models.build("cnn", SPEC, weights="random", seed=0)
    without_least(model, 0.2)
    head = models.head_names(model)
    for name, p in model.named_parameters():
        if p.ndim > 1:
            assert int((p == 0).sum()) == (0 if name in head else round(0.2 * p.numel())), name


class Brightness(Classifier):
    """Class 1 where the mean of an image is above one half."""

    def __init__(self) -> None:
        super().__init__()
        self.spec, self.k, self.extra = {}, 2, 0
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images: torch.Tensor, edit_stage: object = None) -> torch.Tensor:
        d = images.flatten(1).mean(1) - 0.5
        return self.scale * torch.stack([-d, d], 1)

    features = embed = head = forward  # type: ignore[assignment]


def test_an_answer_holds_where_the_class_is_further_than_epsilon() -> None:
    images = torch.stack([torch.full((3, 4, 4), value) for value in (0.48, 0.4, 0.55, 0.9)])
    assert is_robust(Brightness(), images, 0.03, 3).tolist() == [False, True, True, True]
    assert is_robust(Brightness(), images, 0.06, 3).tolist() == [False, True, False, True]
    passes: list[int] = []
    counted = Brightness()
    counted.logits = lambda x: passes.append(1) or Brightness().logits(x)  # type: ignore[method-assign, func-returns-value, assignment]
    is_robust(counted, images, 0.03, 3)
    assert len(passes) == 4  # one for the answer and one for each step


def test_robust_answers_are_shunned_up_to_the_cap() -> None:
    logits, targets = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weight = torch.tensor([1.0, -1.0])
    loss = ATEsc(shun=0.5, cap=10.0).distilled(logits, targets, weight)
    assert float(loss) == pytest.approx(0.5 * math.log(2))
    assert float(ATEsc(shun=0.5, cap=0.1).distilled(logits, targets, weight)) == pytest.approx(math.log(2) - 0.05)
    alone = ATEsc().distilled(logits, targets, weight.abs())
    torch.testing.assert_close(alone, divergence(logits, targets, weight.abs()))
