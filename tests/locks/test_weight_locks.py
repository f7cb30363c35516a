"""Locks whose key is in the weights, against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from toy_locks import SPEC, locked, toy_images

from bench import models, registry
from bench.contracts import Batch, Classifier
from bench.contracts.withheld import put_back
from bench.harness.views import DefenderView
from bench.keys.weights import WeightKey
from bench.parameters import layer_weights
from bench.training import Run
from locks.ada_loc import without
from locks.kit.inside import fit_inside
from locks.nn_splitter import Controller, _has_filters, near, policy_loss

WEIGHT = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 2.0], [-0.1, 0.0, 0.1, 0.0, 0.0]])


def protect(name: str, params: dict[str, object]) -> tuple[Classifier, Classifier, Run]:
    """The victim, what ships, and the run that holds what does not; the victim reads three toy classes."""
    lock, run = registry.INSTALLED.make("lock", name, params), Run(3)
    images = toy_images(60, 0)
    view = DefenderView(SPEC, images, images, WeightKey(), lock.needs(), lambda extra: models.build("cnn", SPEC, extra))
    victim, own = locked("inverted"), models.build("cnn", SPEC, seed=3)
    own.load_state_dict(victim.state_dict())
    return victim, lock.protect(own, WeightKey(), view, run), run


def test_the_window_is_around_c_in_the_chosen_filters_alone() -> None:
    sigma = float(WEIGHT.std(unbiased=False))
    within = near(WEIGHT, torch.tensor([0]), 0.0, 1.05 / sigma)
    assert within.tolist() == [[False, True, True, True, False], [False] * 5]
    assert near(WEIGHT, torch.tensor([0, 1]), 2 / sigma, 0.5 / sigma).sum() == 1


def test_reinforce_makes_what_is_better_than_the_mean_likelier() -> None:
    controller = Controller([2])
    chances = torch.stack([controller.log_chance([torch.tensor([0])]), controller.log_chance([torch.tensor([1])])])
    policy_loss(torch.tensor([1.0, 0.5]), chances).backward()
    # −Σ (r − 0.75) ∂log p: 0.25 · (1 − ½) for the first and 0.25 · ½ more since the second is made rarer
    torch.testing.assert_close(controller.table.grad, torch.tensor([-0.25, 0.25]))


def test_a_controller_chooses_distinct_filters_by_their_logits() -> None:
    controller = Controller([3, 8])
    with torch.no_grad():
        controller.table[:] = torch.tensor([30.0, 0, 0, *[0.0] * 8])
    choice = controller.choose(1, torch.Generator().manual_seed(0))
    assert choice[0].tolist() == [0]
    assert controller.log_chance([torch.tensor([0]), torch.tensor([3])]).item() == pytest.approx(-2.0794, abs=1e-3)
    assert len(set(controller.choose(8, torch.Generator().manual_seed(0))[1].tolist())) == 8
    assert len(controller.choose(8, torch.Generator().manual_seed(0))[0]) == 3


def test_training_inside_a_mask_moves_no_other_weight_and_keeps_its_limits() -> None:
    """It trains three steps: that nothing else moves is what is claimed."""
    model = models.build("cnn", SPEC, seed=3)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    name = "net.layer1.0.conv1.weight"
    mask = torch.zeros_like(before[name], dtype=torch.bool)
    mask[4, 2] = True

    def loss(batch: Batch) -> torch.Tensor:
        return F.cross_entropy(model.logits(batch.images), batch.labels)

    fit_inside(model, {name: mask}, loss, 3, toy_images(12, 0), Run(1), 0.5, 6, "inside", {name: (-0.6, 0.6)})
    after = model.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in after if n != name)
    assert torch.equal(after[name][~mask], before[name][~mask])
    assert not torch.equal(after[name][mask], before[name][mask])
    assert float(after[name][mask].abs().max()) <= 0.6 + 1e-6


def test_what_ada_loc_takes_out_is_the_largest_of_each_layer() -> None:
    victim, shipped, run = protect("ada-loc", {"share": 0.1})
    for name, weight in layer_weights(victim).items():
        part = run.withheld[name]
        assert len(part) == round(0.1 * weight.numel())
        assert bool((shipped.get_parameter(name).flatten()[part.at] == 0).all())
        rest = shipped.get_parameter(name).abs().max()
        assert part.values.abs().min() >= rest
    whole = put_back(shipped.state_dict(), run.withheld)
    assert all(torch.equal(whole[n], w) for n, w in victim.state_dict().items())


def test_the_rightful_users_training_changes_the_key_and_nothing_that_shipped() -> None:
    """It trains two steps twice: the shipped model must be the same with and without the update, the key another."""
    _, first, plain = protect("ada-loc", {"share": 0.1})
    victim, second, updated = protect("ada-loc", {"share": 0.1, "update": 2, "rate": 1e-2})
    assert all(torch.equal(second.state_dict()[n], w) for n, w in first.state_dict().items())
    assert any(not torch.equal(updated.withheld[n].values, part.values) for n, part in plain.withheld.items())
    whole, own = put_back(second.state_dict(), updated.withheld), victim.state_dict()
    for name, weight in own.items():
        moved = (whole[name] != weight).flatten().nonzero().flatten()
        held = plain.withheld[name].at if name in plain.withheld else torch.zeros(0, dtype=torch.int64)
        assert bool(torch.isin(moved, held).all()), name


def test_a_fill_of_noise_leaves_no_zero() -> None:
    model = models.build("cnn", SPEC, seed=3)
    masks = {"net.fc.weight": torch.rand(3, 128, generator=torch.Generator().manual_seed(0)) < 0.3}
    filled = without(model, masks, torch.Generator().manual_seed(1)).get_parameter("net.fc.weight")
    assert not (filled == 0).any()
    others = model.get_parameter("net.fc.weight").detach()[~masks["net.fc.weight"]].std(unbiased=False)
    assert float(filled.detach()[masks["net.fc.weight"]].std()) == pytest.approx(float(others), rel=0.3)


def test_nn_splitter_changes_few_weights_near_c_and_the_key_restores_the_victim() -> None:
    """It trains one choice for ten steps: only then does it show that accuracy falls."""
    params = {"updates": 1, "trials": 1, "steps": 10, "epsilon": 0.3}
    victim, shipped, run = protect("nn-splitter", params)
    whole = put_back(shipped.state_dict(), run.withheld)
    assert all(torch.equal(whole[n], w) for n, w in victim.state_dict().items())
    assert 0 < run.notes["share"] < 0.02
    for name, part in run.withheld.items():
        weight = layer_weights(victim)[name].detach()
        sigma = float(weight.std(unbiased=False))
        assert float((part.values - weight.mean()).abs().max()) < 0.3 * sigma
        assert len(set((part.at // weight[0].numel()).tolist())) == 1, "one filter of each layer"
        new = shipped.get_parameter(name).detach().flatten()[part.at]
        assert bool((new >= weight.min()).all() and (new <= weight.max()).all())
    assert "net.layer2.0.downsample.1.weight" not in run.withheld, "1×1 convolutions stay"


@pytest.mark.parametrize(
    ("shape", "has"),
    [((4, 3, 1, 1), False), ((4, 3, 3, 1), True), ((4, 3, 1, 3), True), ((4, 1), True), ((4, 9), True)],
)
def test_only_convolutions_of_one_by_one_stay(shape: tuple[int, ...], has: bool) -> None:
    assert _has_filters(torch.zeros(shape)) == has
