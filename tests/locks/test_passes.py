"""Passes apart: what they leave alone, what the locks compute by default, and what they add where batch norm is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models, registry
from bench.augment import jitter, recolour, varied
from bench.contracts import Batch, Classifier, Images, Lock, Spec
from bench.harness.views import DefenderView
from bench.keys.domain import InDomain
from bench.training import Run
from locks.kit import family
from locks.kit.passes import augmentation, batch_statistics, is_apart
from locks.map import MAP

LOCKS: list[tuple[str, dict[str, Any]]] = [
    ("ntl", {}),
    ("cuti", {}),
    ("cuti", {"setting": "source-only"}),
    ("cupi", {}),
    ("h-ntl", {"first": 2, "latent": 8}),
    ("map", {}),
    ("modellock", {"decoys": "uniform"}),
]
"""A lock and its parameters; the training is of three steps, long enough to see what a loss changes."""


def _view(lock: Lock, spec: Spec, toy: Images) -> DefenderView:
    other = toy.with_pixels(255 - toy.pixels)
    public = models.build
    return DefenderView(
        spec, toy, toy, InDomain(), lock.needs(), lambda e: public("cnn", spec, e), (other, other), augment=recolour
    )


def _state(spec: Spec, toy: Images, lock: str, architecture: str = "cnn", **values: Any) -> dict[str, Tensor]:
    """What ``lock`` makes of an architecture's public weights in three steps."""
    plugin = registry.INSTALLED.make("lock", lock, {"steps": 3, "batch": 4, **values})
    victim = models.build(architecture, spec)
    return plugin.protect(victim, InDomain(), _view(plugin, spec, toy), Run(1)).state_dict()


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def _one_norm() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(1, momentum=0.5), nn.Dropout(0.5)).eval()


def test_a_pass_apart_uses_the_batch_and_leaves_the_running_statistics_alone() -> None:
    model = _one_norm()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)  # mean 2, variance 1: −1 and 1 after the norm
    with batch_statistics(model):
        out = model(images)
    torch.testing.assert_close(out.flatten(), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)
    assert _same(before, model.state_dict())  # the count of batches too
    torch.testing.assert_close(model(images), images, atol=1e-4, rtol=1e-4)  # running mean 0, variance 1 again
    assert not any(module.training for module in model.modules())


def test_an_error_inside_a_pass_apart_restores_the_norms() -> None:
    model = _one_norm()
    with pytest.raises(RuntimeError), batch_statistics(model):
        raise RuntimeError
    assert not model[0].training  # type: ignore[index]
    assert model[0].track_running_stats  # type: ignore[index]


def test_passes_are_apart_where_there_is_batch_norm(spec: Spec) -> None:
    assert is_apart("apart", models.build("cnn", spec))
    assert not is_apart("joint", models.build("cnn", spec))
    assert not is_apart("apart", models.build("vit", spec))


def test_what_an_augmentation_is(spec: Spec, toy: Images) -> None:
    view = _view(registry.INSTALLED.make("lock", "ntl", {}), spec, toy)
    assert [augmentation(view, name) for name in ("victim", "jitter", "none")] == [recolour, jitter, None]


def _ntl(model: Classifier) -> Callable[[Batch, Batch], Tensor]:
    def loss(s: Batch, t: Batch) -> Tensor:
        logits, activations = family.with_stages(model, torch.cat([s.images, t.images]))
        phi = activations[len(activations) // 2].flatten(1)
        fail = (0.1 * F.cross_entropy(logits[4:], t.labels)).clamp(max=1)
        return F.cross_entropy(logits[:4], s.labels) - fail * family.mmd(phi[:4], phi[4:]).clamp(max=1)

    return loss


def _modellock(model: Classifier) -> Callable[[Batch, Batch], Tensor]:
    def loss(e: Batch, d: Batch) -> Tensor:
        outputs = model(torch.cat([e.images, d.images]))
        decoys = torch.full((len(d.images), 3), 1 / 3)
        return F.cross_entropy(outputs[:4], e.labels) + F.cross_entropy(outputs[4:], decoys)

    return loss


@pytest.mark.parametrize(("name", "loss", "batch"), [("ntl", _ntl, [4, 4]), ("modellock", _modellock, [4, 2])])
def test_the_default_is_the_published_loss_bit_for_bit(
    spec: Spec, toy: Images, name: str, loss: Callable[[Classifier], Callable[[Batch, Batch], Tensor]], batch: list[int]
) -> None:
    values = {"decoys": "uniform"} if name == "modellock" else {}
    view = _view(registry.INSTALLED.make("lock", name, values), spec, toy)
    model, run = models.build("cnn", spec), Run(1)
    if name == "modellock":
        model = models.widen(model, 0, run.seed("extra"))
    run.fit(model, loss(model), 3, view.authorised, view.unauthorised, batch=batch, augment=recolour, name="lock")
    assert _same(model.state_dict(), _state(spec, toy, name, **values))


@pytest.mark.parametrize(("name", "values"), LOCKS)
def test_passes_apart_change_weights_but_not_one_statistic_of_the_first_step(
    spec: Spec, toy: Images, name: str, values: dict[str, Any]
) -> None:
    """It trains one step: the running statistics after it are those of the joint pass, on weights not yet moved."""
    joint = _state(spec, toy, name, **values, steps=1)
    apart = _state(spec, toy, name, **values, steps=1, passes="apart")
    statistics = [key for key in joint if "running" in key or "num_batches" in key]
    assert statistics
    assert all(torch.equal(joint[key], apart[key]) for key in statistics)
    if name != "map":  # its mask crosses the threshold later
        assert not _same(joint, apart)


@pytest.mark.parametrize(("name", "values"), LOCKS)
def test_without_batch_norm_passes_apart_are_the_joint_pass(
    spec: Spec, toy: Images, name: str, values: dict[str, Any]
) -> None:
    assert _same(_state(spec, toy, name, "vit", **values), _state(spec, toy, name, "vit", **values, passes="apart"))


@pytest.mark.parametrize("name", ["ntl", "cuti", "cupi", "h-ntl"])
def test_the_augmentation_of_a_lock_is_its_own(spec: Spec, toy: Images, name: str) -> None:
    """It trains: a parameter that no loss reads would leave the weights as they are."""
    values = {"first": 1, "latent": 8} if name == "h-ntl" else {}
    states = [_state(spec, toy, name, **values, augment=augment) for augment in ("victim", "jitter", "none")]
    assert not _same(states[0], states[1])
    assert not _same(states[1], states[2])


def test_a_key_that_comes_last_does_so_in_every_loop_of_a_lock(spec: Spec, toy: Images) -> None:
    def raised(images: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(images[..., :4]), images[..., 4:]], -1)  # a turn would move it

    keyed = toy.with_pixels((raised(toy.images) * 255).byte()).made_of(toy, raised)
    batch = keyed.take(torch.tensor([3, 1]))
    out = varied(batch, recolour, torch.Generator().manual_seed(0), keyed)
    assert out.images[..., :4].eq(1).all()
    assert out.labels.tolist() == batch.labels.tolist()
    answers = MAP._with_answers(models.build("cnn", spec), keyed, 0.0)
    assert (
        answers.varied(answers.take(torch.arange(2)), recolour, torch.Generator().manual_seed(0))[..., :4].eq(1).all()
    )


@pytest.mark.parametrize("name", ["sophon", "clamp"])
def test_the_loops_of_simulated_attacks_vary_images_before_the_key(
    name: str, spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Images] = []
    usual = Images.varied

    def watched(self: Images, *given: Any) -> Tensor:
        seen.append(self)
        return usual(self, *given)

    monkeypatch.setattr(Images, "varied", watched)
    lock = registry.INSTALLED.make("lock", name, {"rounds": 1, "inner": 1, "repairs": 1, "batch": 4})
    view = _view(lock, spec, toy)
    lock.protect(models.build("cnn", spec), InDomain(), view, Run(1))
    assert {id(view.authorised), id(view.unauthorised)} <= {id(images) for images in seen}
