"""Attacks on the weights: what each may change, arithmetic by hand, and that nothing is opened where nothing is."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from attacks.benign import jpeg, resize
from attacks.fine_pruning import first_of_head
from attacks.finetune import FineTune
from attacks.interpolation import mixture
from attacks.kit import tuning
from attacks.kit.pseudo_labels import with_pseudo_labels
from attacks.kit.selection import Best
from attacks.kit.stages import style
from attacks.kit.zeros import find_zeros, refill
from attacks.realign import distance, in_style
from attacks.rounding import round_weight
from attacks.transntl import divergence, perturb, reweight
from bench import models, registry
from bench.contracts import AccessDenied, Budget, Classifier, Images, Predictor, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.training import Run, metered
from locks.map import Mask


def view(spec: Spec, model: Classifier, run: Run, threat: Mapping[str, Any], **granted: Images) -> AttackerView:
    full = ThreatModel(**{"access": "weights", "share": 0.0, "unlabelled": False, **threat})
    all_granted = {"classifier": model, **granted}
    return AttackerView(spec, full, Budget(), all_granted, {}, lambda e: models.build("cnn", spec, e), None, run.meter)


def unlock(name: str, params: Mapping[str, Any], target: AttackerView, run: Run) -> Predictor:
    attack = registry.INSTALLED.make("attack", name, params)
    assert attack.accepts(target.threat)
    with metered(run):
        predictor = attack.unlock(target, run)
    assert target.denied == []
    return predictor


def percent_right(predictor: Any, images: Images) -> float:
    with torch.no_grad():
        answers = predictor(images.images).argmax(1)
    return 100 * float((answers == images.labels).float().mean())


@pytest.fixture
def victim(spec: Spec, toy: Images) -> Classifier:
    model = models.build("cnn", spec)
    Run(1).fit(model, lambda batch: tuning.cross_entropy(model, batch), 10, toy, rate=1e-3, batch=24)
    return model


class Tuned(NamedTuple):
    params: dict[str, Any]
    may_change: str  # a name has to contain one of these, "|" between
    batches: int = 1


TUNED = {
    "head": Tuned({"layers": "head"}, "fc."),
    "new head": Tuned({"layers": "head", "head": "new"}, "fc."),
    "bitfit": Tuned({"layers": "bitfit"}, "bias"),
    "lora": Tuned({"layers": "lora", "select": "oracle"}, "conv|downsample.1|fc.|running|batches"),
    "layer-wise": Tuned({"layers": "layer-wise"}, "net."),
    "sgd, held out": Tuned({"optimiser": "sgd", "rate": 1e-2, "select": "held-out"}, "net."),
    "asam": Tuned({"optimiser": "asam"}, "net."),
    "both sides": Tuned({"data": "both", "noise": 0.2}, "net."),
}


@pytest.mark.parametrize("case", TUNED.values(), ids=TUNED.keys())
def test_fine_tuning_changes_what_it_says_and_nothing_else(case: Tuned, spec: Spec, toy: Images) -> None:
    model = models.build("cnn", spec, extra=1)
    before = copy.deepcopy(model.state_dict())
    run = Run(3)
    target = view(spec, model, run, {"share": 0.1, "authorised": 0.1}, labelled=toy, authorised=toy)
    predictor = unlock(
        "finetune", {"steps": 4, "head_steps": 0, "pseudo": 0.0, "batch": 12, **case.params}, target, run
    )
    tuned_model: Any = predictor.classifier
    after = tuned_model.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(any(part in name for part in case.may_change.split("|")) for name in changed)
    again = models.rebuild(tuned_model.spec, after)
    torch.testing.assert_close(models.outputs(again, toy.images[:3]), models.outputs(tuned_model, toy.images[:3]))
    assert run.meter.steps == 4
    assert all(isinstance(s.predictor.classifier, Classifier) for s in run.submissions)


@pytest.mark.parametrize(("granted", "steps"), [(True, 2 * (3 + 4)), (False, 3 + 4)])
def test_fine_tuning_trains_again_on_its_own_answers_where_it_may_see_more_images(
    granted: bool, steps: int, spec: Spec, toy: Images
) -> None:
    run = Run(3)
    more = {"unlabelled": toy.unlabelled()} if granted else {}
    target = view(spec, models.build("cnn", spec), run, {"share": 0.1, "unlabelled": granted}, labelled=toy, **more)
    unlock("finetune", {"steps": 4, "head_steps": 3, "pseudo": 0.5, "batch": 12}, target, run)
    assert run.meter.steps == steps


def test_pseudo_labels_are_the_surest_answers_of_each_class_and_true_labels_are_repeated(spec: Spec) -> None:
    shade = torch.tensor([0, 10, 20, 200, 240, 250], dtype=torch.uint8)
    images = Images(shade[:, None, None, None].expand(6, 3, 32, 32).contiguous())

    class Brightness(Classifier):
        """Dark or light, the surer the further from the middle; never striped."""

        def __init__(self) -> None:
            super().__init__()
            self.spec, self.k, self.extra = {}, 3, 0

        def features(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x]

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3))[:, None]

        def head(self, embedding: torch.Tensor) -> torch.Tensor:
            light = embedding[:, 0] - 0.5
            return torch.stack([-9 * light, 9 * light, torch.full_like(light, -99.0)], 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(x))

    labelled = Images(images.pixels[2:3], torch.tensor([2]))
    tuned_model = with_pseudo_labels(Brightness(), labelled, images, 0.67)
    rows = list(zip(tuned_model.pixels[:, 0, 0, 0].tolist(), tuned_model.labels.tolist(), strict=True))
    assert rows == [(20, 2), (20, 2), (0, 0), (10, 0), (250, 1), (240, 1)]


def test_merged_adapters_answer_as_the_adapted_model_did(spec: Spec, toy: Images) -> None:
    model = models.build("cnn", spec)
    handle = tuning.add_adapters(model, 2, 0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.02, generator=torch.Generator().manual_seed(1))
    adapted = models.outputs(model, toy.images[:4])
    torch.testing.assert_close(models.outputs(handle.merge_and_unload(), toy.images[:4]), adapted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(models.outputs(models.build("cnn", spec), toy.images[:4]), adapted, atol=1e-2)


@pytest.mark.parametrize("name", ["cnn", "vit"])
def test_rates_fall_with_depth(name: str, spec: Spec) -> None:
    model = models.build(name, spec)
    groups = tuning.parameter_groups(model, "layer-wise", 1.0, 0.5, False)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(rate) == len(named)
    first = "net.conv1.0.weight" if name == "cnn" else "net.patch_embed.proj.weight"
    assert rate[id(named[models.head_names(model)[0]])] == 1.0
    assert rate[id(named[first])] == min(rate.values()) < 0.1


def test_the_decay_of_sgd_is_a_part_of_its_gradient_and_so_a_small_one(
    spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the decay of AdamW, weights without a gradient would lose more than half of their length."""
    lengths: list[float] = []

    def fit(_run: Run, model: nn.Module, *_: Any, parameters: Any = None, **__: Any) -> None:
        lengths.extend(group["weight_decay"] for group in parameters if isinstance(group, dict))

    monkeypatch.setattr(Run, "fit", fit)
    for optimiser in ("adamw", "sgd"):
        run = Run(1)
        target = view(spec, models.build("cnn", spec), run, {"share": 0.1}, labelled=toy)
        FineTune(optimiser=optimiser, head_steps=0)._train(target.classifier, [toy], run, "x")
    assert set(lengths[: len(lengths) // 2]) == {0.05, 0.0}
    assert set(lengths[len(lengths) // 2 :]) == {5e-4, 0.0}


def test_the_gradient_of_adaptive_sam_by_hand() -> None:
    w = nn.Parameter(torch.tensor([2.0, -1.0]))  # L = (w1² + 3 w2²) / 2, ∇L = (2, -3), T = (2.01, 1.01)
    losses: list[torch.Tensor] = []

    def loss() -> torch.Tensor:
        losses.append((w[0] ** 2 + 3 * w[1] ** 2) / 2)
        return losses[-1]

    tuning.sharpness_aware(nn.Identity(), rho=0.5, eta=0.01)(loss, [w])
    norm = (4.02**2 + 3.03**2) ** 0.5
    epsilon = (0.5 * 2.01 * 4.02 / norm, 0.5 * 1.01 * -3.03 / norm)
    assert float(losses[0].detach()) == pytest.approx(3.5)
    assert len(losses) == 2
    assert w.grad is not None
    assert w.grad.tolist() == pytest.approx([2 + epsilon[0], 3 * (-1 + epsilon[1])], rel=1e-5)
    assert w.tolist() == [2.0, -1.0]


def test_a_pass_at_weights_that_are_not_kept_leaves_no_statistics(spec: Spec, toy: Images) -> None:
    model = models.build("cnn", spec).train()
    before = model.net.bn1.running_mean.clone()  # type: ignore[union-attr]
    with models.frozen_statistics(model):
        model(toy.images[:8])
    assert torch.equal(model.net.bn1.running_mean, before)  # type: ignore[union-attr]
    model(toy.images[:8])
    assert not torch.equal(model.net.bn1.running_mean, before)  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_label_noise_makes_the_stated_share_wrong(share: float, toy: Images) -> None:
    noisy = tuning.with_label_noise(toy, share, 3, torch.Generator().manual_seed(0))
    assert int((noisy.labels != toy.labels).sum()) == share * len(toy)
    assert set(noisy.labels.tolist()) == {0, 1, 2}


def test_something_is_held_out_of_two_images(toy: Images) -> None:
    train, validation = tuning.split(toy.subset(torch.arange(2)), 0.2, torch.Generator().manual_seed(0))
    assert (len(train), len(validation)) == (1, 1)


@pytest.mark.parametrize("fill", ["public", "auto"])
def test_a_random_mask_is_opened(fill: str, victim: Classifier, spec: Spec, toy: Images) -> None:
    locked = copy.deepcopy(victim)
    mask = Mask(locked, "weight", 0.01, 0.005)
    mask.draw(0.95, torch.Generator().manual_seed(1))
    mask.prune()
    zeros = find_zeros(locked)
    run = Run(2)
    target = view(spec, locked, run, {"unlabelled": True}, unlabelled=toy.unlabelled())
    predictor = unlock("mask-recovery", {"fill": fill, "steps": 3}, target, run)
    assert percent_right(predictor, toy) >= percent_right(victim, toy) - 2
    if fill == "public":  # a few steps from the public weights, those are nearly what was pruned
        goal = models.outputs(victim, toy.images)
        gap = (models.outputs(predictor, toy.images) - goal).abs().mean()
        assert gap < 0.5 * (models.outputs(locked, toy.images) - goal).abs().mean()
    full = predictor.classifier.state_dict()
    for name, at in zeros.items():
        assert torch.equal(full[name][~at], victim.state_dict()[name][~at])
    assert run.submissions[-1].note["zeros"] == sum(int(z.sum()) for z in zeros.values())


def test_a_fill_from_neighbours_has_their_statistics() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1000, 2, bias=False)
            with torch.no_grad():
                self.layer.weight[0].normal_(3.0, 0.5, generator=torch.Generator().manual_seed(0))
                self.layer.weight[1].fill_(7.0)
                self.layer.weight[:, ::2] = 0.0

    model: Any = Two()
    full: Any = refill(model, find_zeros(model), rng=torch.Generator().manual_seed(1))
    sample = full.layer.weight.detach()[:, ::2]
    assert float(sample[0].mean()) == pytest.approx(3.0, abs=0.1)
    assert float(sample[0].std()) == pytest.approx(0.5, abs=0.05)
    assert sample[1].tolist() == pytest.approx([7.0] * 500)


def test_where_no_weight_is_zero_mask_recovery_says_so(victim: Classifier, spec: Spec, toy: Images) -> None:
    before, run = copy.deepcopy(victim.state_dict()), Run(2)
    target = view(spec, victim, run, {"unlabelled": True}, unlabelled=toy.unlabelled())
    predictor = unlock("mask-recovery", {}, target, run)
    assert all(torch.equal(before[k], v) for k, v in predictor.classifier.state_dict().items())
    assert run.submissions[-1].note["zeros"] == 0
    assert "no weight is zero" in run.submissions[-1].note["what"]


def test_the_quantiser_by_hand() -> None:
    weight = torch.tensor([[7.0, -3.4, 0.4, 0.6], [0.7, 0.04, -0.06, -0.7]])
    expected = torch.tensor([[7.0, -3.0, 0.0, 1.0], [0.7, 0.0, -0.1, -0.7]])
    torch.testing.assert_close(round_weight(weight, 4), expected)
    assert round_weight(torch.randn(3, 2, 5, 5), 4)[0].unique().numel() <= 15
    assert torch.equal(round_weight(torch.zeros(2, 3), 8), torch.zeros(2, 3))


def test_eight_bits_keep_the_answers(victim: Classifier, spec: Spec, toy: Images) -> None:
    before, run = models.outputs(victim, toy.images).argmax(1), Run(2)
    predictor = unlock("rounding", {}, view(spec, victim, run, {}), run)
    assert float((models.outputs(predictor, toy.images).argmax(1) == before).float().mean()) >= 0.98


def test_both_ends_of_the_interpolation(victim: Classifier, spec: Spec) -> None:
    public = models.build("cnn", spec, seed=9)
    start, end = mixture(victim, public, 0.0).state_dict(), mixture(victim, public, 1.0).state_dict()
    head = models.head_names(victim)
    for name, value in victim.state_dict().items():
        torch.testing.assert_close(start[name], value)
        if value.is_floating_point():
            torch.testing.assert_close(end[name], value if name in head else public.state_dict()[name])


def test_pruned_channels_stay_pruned(spec: Spec, toy: Images) -> None:
    model, run = models.build("cnn:16", spec), Run(2)
    target = view(spec, model, run, {"share": 0.1}, labelled=toy)
    tuned_model: Any = unlock("fine-pruning", {"prune": 0.5, "steps": 3}, target, run)
    weight = first_of_head(tuned_model.classifier)
    assert weight.shape == (16, 128)
    assert int((weight == 0).all(0).sum()) == 64


@pytest.mark.parametrize("change", ["half", "jpeg", "resize"])
def test_a_benign_change_keeps_easy_answers(change: str, victim: Classifier, spec: Spec, toy: Images) -> None:
    run = Run(2)
    before = percent_right(victim, toy)
    predictor = unlock("benign", {"change": change}, view(spec, victim, run, {}), run)
    assert abs(percent_right(predictor, toy) - before) <= 10
    one = predictor.predict(toy.images[:1])
    torch.testing.assert_close(predictor.predict(toy.images[:7])[:1], one, atol=1e-4, rtol=1e-4)


def test_images_after_a_benign_change_are_images(toy: Images) -> None:
    images = toy.images[:2]
    for changed in (jpeg(images, 75), resize(images, 0.5)):
        assert changed.shape == images.shape
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        assert 0 < float((changed - images).abs().mean()) < 0.25
    grey = torch.full((1, 3, 32, 32), 0.5)
    torch.testing.assert_close(resize(grey, 0.75), grey)


def test_views_and_weights_of_transntl_by_hand() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.full((1, 3, 32, 32), 0.5)
    noisy, scaled = perturb(image, "additive", 0.1, 5, rng), perturb(image, "multiplicative", 0.1, 5, rng)
    assert float(noisy.std()) == pytest.approx(0.1, abs=0.01)
    assert float(scaled.std()) == pytest.approx(0.05, abs=0.005)
    other = perturb(image, "colours", 0.1, 5, rng)
    assert other.shape == image.shape
    assert 0 <= float(other.min()) <= float(other.max()) <= 1
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 1
    assert float(perturb(dot, "blur", 0, 5, rng)[..., 2:7, 2:7].sum()) == pytest.approx(1)
    q = reweight(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]), 0.01)
    assert q.tolist() == pytest.approx([0.5025, 0.4975], abs=1e-5)
    p = torch.tensor([[0.5, 0.5]]).log()
    assert float(divergence(p, torch.tensor([[0.25, 0.75]]).log())) == pytest.approx(0.143841, abs=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 6, 6), (4, 36, 5)])
def test_a_whole_share_of_style_is_the_other_style(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(shape), 3 + 2 * torch.randn(shape)
    monkeypatch.setattr(torch, "rand", lambda size, generator=None: torch.ones(size))
    edited = in_style([b], torch.Generator())(0, a)
    for rows, goal in zip(style(edited), style(b), strict=True):
        torch.testing.assert_close(rows, goal, atol=1e-3, rtol=1e-3)
    assert float(distance(a, a.clone())) == pytest.approx(0, abs=1e-6)
    assert float(distance(a, b)) > 1


class Expected(NamedTuple):
    params: dict[str, Any]
    threat: dict[str, Any]


NOTHING_TO_OPEN = {
    "finetune": Expected({"select": "held-out", "head_steps": 5}, {"share": 0.1}),
    "transntl": Expected({"colours": True}, {"authorised": 0.1}),
    "mask-recovery": Expected({"steps": 6}, {"unlabelled": True}),
    "fine-pruning": Expected({}, {"unlabelled": True}),
    "interpolation": Expected({"points": 3}, {"unlabelled": True}),
    "rounding": Expected({"bits": 4}, {}),
    "benign": Expected({}, {}),
    "realign": Expected({}, {"unlabelled": True, "authorised": 0.1}),
}


@pytest.mark.parametrize("name", NOTHING_TO_OPEN)
def test_random_weights_and_labels_without_meaning_leave_chance(name: str, spec: Spec) -> None:
    case = NOTHING_TO_OPEN[name]
    rng = torch.Generator().manual_seed(4)

    def noise(n: int) -> Images:
        return Images((torch.rand((n, 3, 32, 32), generator=rng) * 255).byte(), torch.randint(3, (n,), generator=rng))

    granted: dict[str, Images] = {}
    if "share" in case.threat:
        granted["labelled"] = noise(24)
    if "authorised" in case.threat:
        granted["authorised"] = noise(24)
    if "unlabelled" in case.threat:
        granted["unlabelled"] = noise(24).unlabelled()
    run = Run(5)
    target = view(spec, models.build("cnn", spec, weights="random", seed=6), run, case.threat, **granted)
    steps = {"steps": 4} if "steps" in registry.INSTALLED.find("attack", name).params else {}
    predictor = unlock(name, {**steps, **case.params}, target, run)
    assert percent_right(predictor, noise(120)) < 50


@pytest.mark.parametrize(("statistics", "adapted"), [("target", True), ("kept", False)])
def test_fine_tuning_on_authorised_images_ends_at_the_targets_statistics_where_it_has_them(
    statistics: str, adapted: bool, spec: Spec, toy: Images
) -> None:
    """Trains one step."""
    run = Run(5)
    dark = Images(toy.pixels // 4)
    threat = {"authorised": 0.1, "unlabelled": True}
    target = view(spec, models.build("cnn", spec), run, threat, authorised=toy, unlabelled=dark)
    params = {"data": "source", "steps": 1, "head_steps": 0, "statistics": statistics}
    predictor = unlock("finetune", params, target, run)
    model = copy.deepcopy(predictor.classifier)
    models.reestimate_batch_norm(model, dark)
    same = [
        torch.equal(one.running_mean, two.running_mean)  # type: ignore[arg-type]
        for one, two in zip(models.batch_norms(predictor.classifier), models.batch_norms(model), strict=True)
    ]
    assert all(same) == adapted


@pytest.mark.parametrize("name", ["finetune", "transntl", "realign"])
def test_labels_that_the_view_withholds_stay_out_of_reach(name: str, spec: Spec, toy: Images) -> None:
    run = Run(5)
    target = view(spec, models.build("cnn", spec), run, {"unlabelled": True}, unlabelled=toy.unlabelled())
    attack = registry.INSTALLED.make("attack", name, {"steps": 1})
    assert not attack.accepts(target.threat)
    with pytest.raises(AccessDenied):
        attack.unlock(target, run)
    assert target.denied


def test_of_candidates_in_turn_the_first_best_is_kept_and_no_other(victim: Classifier) -> None:
    scores = iter([1.0, 3.0, 3.0, 2.0])
    best = Best(lambda _: next(scores))
    candidates = [copy.deepcopy(victim) for _ in range(4)]
    others = [weakref.ref(candidates[i]) for i in (0, 2, 3)]
    for name in "abcd":
        best.add(name, candidates.pop(0))
    gc.collect()
    assert best.name == "b"
    assert best.scores == {"a": 1.0, "b": 3.0, "c": 3.0, "d": 2.0}
    assert [other() for other in others] == [None, None, None]
