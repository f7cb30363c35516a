"""Weights that look changed: which are found, what is put in their place, and that it opens a lock in the weights."""

from __future__ import annotations

import copy

import torch
from toy_locks import POOL, SPEC, TEST, locked, toy_images

from attacks.kit import suspects
from attacks.kit.selection import Best, highest, most_informative
from attacks.kit.zeros import refill
from bench import models, registry
from bench.contracts import Budget, Classifier, ThreatModel
from bench.harness.views import AttackerView
from bench.parameters import layer_weights
from bench.training import Run, metered


def weight(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 50, generator=torch.Generator().manual_seed(seed))


def test_a_value_that_occurs_four_times_or_twice_at_an_end_is_suspect_and_a_pair_elsewhere_is_chance() -> None:
    w = weight()
    w[1, 2] = w[5, 6] = 0.125  # float32 leaves such pairs
    assert not suspects.repeats(w).any()
    w[2, 2] = w[6, 6] = 0.125
    assert suspects.repeats(w).nonzero().tolist() == [[1, 2], [2, 2], [5, 6], [6, 6]]
    for value in (0.0, 9.0, -9.0):
        w = weight()
        w[1, 2] = w[5, 6] = value
        assert suspects.repeats(w).nonzero().tolist() == [[1, 2], [5, 6]]


def test_a_large_layer_as_training_leaves_it_has_no_suspects() -> None:
    w = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0))
    assert len(w.unique()) < w.numel() - 100  # values that occur more than once there are
    assert not suspects.repeats(w).any()


def test_an_outlier_is_beyond_z_robust_deviations() -> None:
    values = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0, 4.0])
    # median 0 of the lower middle, distances 1 .5 0 .5 1 4, their lower median .5: σ = 0.7413
    assert suspects.outliers(values, 5.3).tolist() == [False] * 5 + [True]
    assert not suspects.outliers(values, 5.5).any()


def _view(model: Classifier, public: Classifier, **threat: object) -> tuple[AttackerView, Run]:
    full = ThreatModel(**{"access": "weights", "share": 0.0, "wordlist": "none", "known": "none", **threat})
    granted = {"classifier": model, "unlabelled": POOL.unlabelled(), "labelled": POOL.subset(torch.arange(24))}
    known = {"geometry": {"net.layer1.0.conv1.weight": [3, 5]}} if "geometry" in full.parts() else {}
    run = Run(7)
    return AttackerView(SPEC, full, Budget(), granted, known, lambda _: copy.deepcopy(public), None, run.meter), run


def test_places_that_are_known_are_the_suspects() -> None:
    model = models.build("cnn", SPEC, seed=3)
    view, _ = _view(model, model, known="geometry")
    attack = registry.INSTALLED.make("attack", "weight-repair", {})
    found = attack._places(view)
    assert {name: at.flatten().nonzero().flatten().tolist() for name, at in found.items()} == {
        "net.layer1.0.conv1.weight": [3, 5]
    }
    assert suspects.of_places(model, {"net.bn1.weight": [1], "net.fc.weight": [10**9]}) == {}


def test_the_mean_stands_for_suspects_and_the_rest_stays() -> None:
    model = models.build("cnn", SPEC, seed=3)
    at = torch.zeros(3, 128, dtype=torch.bool)
    at[0, :7] = True
    level = suspects.level(model, {"net.fc.weight": at})
    old, new = (m.get_parameter("net.fc.weight").detach() for m in (model, level))
    assert torch.equal(new[~at], old[~at])
    torch.testing.assert_close(new[at], old[~at].mean().expand(7))


def test_weights_pushed_to_a_limit_are_found_and_the_model_works_again() -> None:
    """The victim is trained, since only a model that worked can be repaired; the repair itself trains nothing."""
    victim = copy.deepcopy(locked("statistics"))
    models.reestimate_batch_norm(victim, toy_images(60, 0).images)
    broken = copy.deepcopy(victim)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, w in layer_weights(broken).items():
            if "fc" not in name:
                places = torch.randperm(w.numel(), generator=rng)[: max(2, w.numel() // 50)]
                w.view(-1)[places] = 4 * w.abs().max()
    view, run = _view(broken, victim)
    attack = registry.INSTALLED.make("attack", "weight-repair", {"fill": "mean", "find": "repeated"})
    with metered(run):
        repaired = attack.unlock(view, run)
    answers = {}
    with torch.no_grad():
        for name, predict in (("victim", victim), ("broken", broken), ("repaired", repaired)):
            answers[name] = float((predict(TEST.images)[:, :3].argmax(1) == TEST.labels).float().mean())
    assert answers["broken"] < answers["victim"] - 0.2
    assert answers["repaired"] > answers["victim"] - 0.1


def test_neighbours_take_nothing_from_the_suspects() -> None:
    model = models.build("cnn", SPEC, seed=3)
    name = "net.layer1.0.conv1.weight"
    weights = model.get_parameter(name)
    at = torch.zeros_like(weights, dtype=torch.bool)
    at.flatten(1)[:, ::4] = True
    with torch.no_grad():
        weights[at] = 50.0
    new = refill(model, {name: at}, rng=torch.Generator().manual_seed(0)).get_parameter(name).detach()
    old = weights.detach()
    assert torch.equal(new[~at], old[~at])
    assert abs(new[at].mean() - old[~at].mean()) < old[~at].std() / 5
    assert new[at].std() < 2 * old[~at].std()


def test_a_public_head_is_drawn_and_fills_nothing() -> None:
    model, public = models.build("cnn", SPEC, seed=3), models.build("cnn", SPEC, seed=4)
    places = {name: torch.ones_like(model.get_parameter(name), dtype=torch.bool)
              for name in ("net.fc.weight", "net.layer1.0.conv1.weight")}  # fmt: skip
    filled = refill(model, places, public=public)
    assert torch.equal(filled.get_parameter("net.fc.weight"), model.get_parameter("net.fc.weight"))
    layer = "net.layer1.0.conv1.weight"
    assert torch.equal(filled.get_parameter(layer), public.get_parameter(layer))


def test_a_candidate_that_diverged_is_not_chosen() -> None:
    good = locked("statistics")
    bad = copy.deepcopy(good)
    with torch.no_grad():
        next(bad.parameters()).fill_(float("nan"))
    assert highest({"a": float("nan"), "b": 1.0, "c": 1.0}) == "b"
    name, scores = most_informative({"end": bad, "step 3": good}, POOL)
    assert name == "step 3"
    assert scores.keys() == {"step 3"}
    name, scores = most_informative({"end": bad}, POOL)
    assert (name, scores) == ("end", {})
    best = Best(lambda model: float("nan") if model is bad else 1.0)
    best.add("end", bad)
    best.add("step 3", good)
    assert (best.name, best.scores) == ("step 3", {"step 3": 1.0})
