"""The losses of the non-transferable family and of MAP, against cases worked out by hand."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models, registry
from bench.contracts import BadParameter, Batch, Classifier, Images, Spec
from bench.harness.views import DefenderView
from bench.keys.domain import InDomain
from bench.parameters import layer_weights
from bench.training import Run
from locks import ntp
from locks.cupi import CUPI
from locks.h_ntl import sample
from locks.kit import family
from locks.map import Mask
from locks.ntp import scatter_ratio, sparse
from locks.sophon import SOPHON, failure, fine_tune


def test_mmd_is_the_direct_double_sum() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(5, 3, generator=rng), torch.randn(4, 3, generator=rng) + 1
    both = torch.cat([x, y]).tolist()
    squares = [[math.dist(a, b) ** 2 for b in both] for a in both]
    width = sum(map(sum, squares)) / (9 * 8)

    def k(i: int, j: int) -> float:
        return sum(math.exp(-squares[i][j] / (width * 2.0 ** (s - 2))) for s in range(5))

    direct = sum(k(i, j) for i in range(5) for j in range(5)) / 25
    direct += sum(k(i, j) for i in range(5, 9) for j in range(5, 9)) / 16
    direct -= 2 * sum(k(i, j) for i in range(5) for j in range(5, 9)) / 20
    assert float(family.mmd(x, y)) == pytest.approx(direct, rel=1e-5)
    assert float(family.mmd(x, x.clone())) == pytest.approx(0, abs=1e-6)


def test_a_cap_binds_and_stops_the_gradient_or_does_neither() -> None:
    value = torch.tensor(5.0, requires_grad=True)
    free, bound = family.limit(value, 0.1, 1.0), family.limit(value, 0.5, 1.0)
    assert (free.item(), bound.item()) == (0.5, 1.0)
    assert torch.autograd.grad(free, value)[0] == pytest.approx(0.1)
    assert torch.autograd.grad(bound, value)[0] == 0


def test_which_mean_a_divergence_takes() -> None:
    logits = torch.zeros(3, 10)
    labels = torch.tensor([0, 4, 9])
    assert float(family.divergence(logits, labels)) == pytest.approx(math.log(10))
    assert float(family.divergence(logits, labels, "batch-and-classes")) == pytest.approx(math.log(10) / 10)


def test_style_is_mean_and_deviation_of_each_channel() -> None:
    maps = torch.stack([torch.full((2, 2), 3.0), torch.tensor([[0.0, 2.0], [0.0, 2.0]])])[None]
    mean, std = family.style(maps)
    assert mean.tolist() == [[3, 1]]
    torch.testing.assert_close(std, torch.tensor([[0.0, 1.0]]), atol=2e-3, rtol=0)
    tokens = maps.flatten(2).transpose(1, 2)
    torch.testing.assert_close(family.style(tokens)[1], std)


def test_the_weight_of_cupi_in_both_schedules() -> None:
    assert CUPI(steps=100).k(100) == pytest.approx(0.1)
    assert CUPI(steps=100).k(50) == pytest.approx(0.1 * 0.5**0.9)
    assert CUPI(steps=100, schedule="published", epochs=20).k(50) == pytest.approx(0.1 * (10 + 1 / 20) ** 0.9)


def test_a_mask_lets_the_gradient_through_and_leaves_frozen_weights_alone(spec: Spec, toy: Images) -> None:
    model = models.build("cnn", spec)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    mask = Mask(model, "weight", 0.01, 0.005)
    with torch.no_grad():
        mask.scores[0].flatten()[0] = 0.0  # below the threshold: pruned
    name, weight = next(iter(mask._weights.items()))
    masked = mask.weights()[name]
    assert masked.flatten()[0] == 0
    assert torch.equal(masked.flatten()[1:], weight.flatten()[1:])
    masked.sum().backward()
    torch.testing.assert_close(mask.scores[0].grad, weight.detach())
    layers = mask.prune()
    assert layers[name]["of"] - layers[name]["kept"] == 1
    after = model.state_dict()
    changed = [k for k in before if not torch.equal(before[k], after[k])]
    assert changed == [name]


def test_a_random_mask_keeps_the_same_share_in_every_layer(spec: Spec) -> None:
    mask = Mask(models.build("cnn", spec), "weight", 0.01, 0.005)
    mask.draw(0.75, torch.Generator().manual_seed(1))
    for layer in mask.prune().values():
        assert layer["kept"] == round(0.75 * layer["of"])


def test_what_a_map_setting_does_not_allow_is_never_touched(spec: Spec, toy: Images) -> None:
    from bench.harness.views import DefenderView
    from bench.keys.domain import InDomain

    for setting, denied in (("source-free", ["authorised"]), ("data-free", ["authorised", "unauthorised"])):
        lock = registry.INSTALLED.make("lock", "map", {"setting": setting, "steps": 2, "generator_steps": 2})
        view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), lambda e: models.build("cnn", spec, e))
        lock.protect(models.build("cnn", spec), InDomain(), view, Run(1))
        assert view.denied == []
        for side in denied:
            with pytest.raises(PermissionError):
                getattr(view, side)


def test_failure_losses_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0]])  # p = 1/2, 1/6, 1/6, 1/6
    assert float(failure(logits, torch.tensor([0]), "inverse")) == pytest.approx(math.log(2))
    kl = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.25 * 6)
    assert float(failure(logits, torch.tensor([0]), "uniform")) == pytest.approx(kl, rel=1e-5)


class Linear(nn.Module):
    """f(x) = x W, with what `SOPHON` asks of a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.k = 3
        self.weight = nn.Parameter(torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.4, -0.1]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight

    logits = forward


def test_the_maml_step_is_first_order_on_a_linear_model() -> None:
    x = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    batch = Batch(x, torch.tensor([0, 2]), torch.arange(2))
    model = Linear()
    attacker = copy.deepcopy(model)
    fine_tune(attacker, [batch], 0.1)  # type: ignore[arg-type]
    start = F.cross_entropy(model(x), batch.labels)  # type: ignore[arg-type]
    sign = torch.autograd.grad(start, model.weight)[0].sign()
    torch.testing.assert_close(attacker.weight.detach(), model.weight.detach() - 0.1 * sign, atol=1e-5, rtol=0)
    (match,) = SOPHON(fail_weight=2.0)._failure_gradient(attacker, batch)  # type: ignore[arg-type]
    moved = attacker.weight.detach().clone().requires_grad_()
    p = (x @ moved).softmax(1)
    direct = 2.0 * -torch.log(1 - p[torch.arange(2), batch.labels]).mean()
    torch.testing.assert_close(match, torch.autograd.grad(direct, moved)[0])


def test_the_nearest_sparse_weights_and_the_scatter_of_classes() -> None:
    weight = torch.tensor([[3.0, -1.0], [0.5, -4.0]])
    assert sparse(weight, 0.5).tolist() == [[3, 0], [0, -4]]
    assert int((sparse(weight, 0.99) != 0).sum()) == 1
    features = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    assert float(scatter_ratio(features, torch.tensor([0, 0, 1, 1]))) == pytest.approx(100 / 4, rel=1e-4)


def test_the_vae_term_of_a_unit_normal_is_zero() -> None:
    rng = torch.Generator().manual_seed(0)
    _, kl = sample(torch.zeros(4, 6), rng)
    assert kl == 0
    _, kl = sample(torch.cat([torch.ones(4, 3), torch.zeros(4, 3)], 1), rng)
    assert float(kl) == pytest.approx(1.5)


def test_a_head_with_hidden_layers_is_rebuilt_and_widened(spec: Spec, toy: Images) -> None:
    model = models.build("cnn:16-8", spec)
    assert [m.out_features for m in model.last.modules() if isinstance(m, nn.Linear)] == [16, 8, 3]  # type: ignore[attr-defined]
    again = models.rebuild(model.spec, model.state_dict())
    torch.testing.assert_close(models.outputs(again, toy.images[:3]), models.outputs(model, toy.images[:3]))
    wide = models.widen(model, 1, 0)
    torch.testing.assert_close(models.outputs(wide, toy.images[:3])[:, :3], models.outputs(model, toy.images[:3]))


def test_a_network_for_another_size_takes_the_images_of_the_task() -> None:
    small = models.build("resnet10t:16", Spec(64, ("a", "b")), weights="random")
    assert models.outputs(small, torch.rand(2, 3, 64, 64)).shape == (2, 2)
    assert len(small.features(torch.rand(2, 3, 64, 64))) >= 4


def test_ntp_prunes_to_the_support_of_z(spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains sixteen steps in four rounds, after which W and Z differ."""
    supports: list[Tensor] = []

    def noted(weight: Tensor, sparsity: float) -> Tensor:
        supports.append(sparse(weight, sparsity))
        return supports[-1]

    monkeypatch.setattr(ntp, "sparse", noted)
    model = _on_unequal_sides("ntp", {"steps": 16, "rounds": 4, "repair": 0}, spec, toy)
    weights = list(layer_weights(model, head=False).values())
    for weight, z in zip(weights, supports[-len(weights) :], strict=True):
        assert torch.equal(weight != 0, (z != 0) & (weight != 0))
        assert int((weight != 0).sum()) > 0.9 * int((z != 0).sum())


def test_fixed_parts_of_modellock_take_decoys_from_the_whole_other_side(spec: Spec, toy: Images) -> None:
    """Trains three steps."""
    assert _on_unequal_sides("modellock", {"steps": 3, "parts": "fixed"}, spec, toy)


def test_staining_refuses_sides_that_are_not_the_same_images(spec: Spec, toy: Images) -> None:
    with pytest.raises(BadParameter, match="with and without the key"):
        _on_unequal_sides("staining", {}, spec, toy)


@pytest.mark.parametrize("name", ["resnetv2_18", "deit_tiny_distilled_patch16_224?img_size=32&depth=1", "cnn:3", "cnn"])
def test_permuted_logits_renames_every_class_whatever_makes_the_outputs(name: str, spec: Spec, toy: Images) -> None:
    victim = models.build(name, spec, weights="random", seed=3).eval()
    before = models.outputs(victim, toy.images[:5])
    lock = registry.INSTALLED.make("lock", "permuted-logits", {})
    view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), lambda e: models.build(name, spec, e))
    after = models.outputs(lock.protect(victim, InDomain(), view, Run(1)), toy.images[:5])
    torch.testing.assert_close(after.sort(1).values, before.sort(1).values)
    assert not (after == before).all(0).any()


def _on_unequal_sides(name: str, params: dict[str, Any], spec: Spec, toy: Images) -> Classifier:
    """A lock of sixty authorised and twenty unauthorised images."""
    lock = registry.INSTALLED.make("lock", name, {"batch": 8, **params} if name != "staining" else params)
    other = toy.subset(torch.arange(20))
    public = partial(models.build, "cnn", spec)
    view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), public, (other, other))
    return lock.protect(models.build("cnn", spec, seed=3), InDomain(), view, Run(1))
