"""Which weights EncoderLock and MergeGuard touch, and how far: arithmetic by hand, and nothing else moved."""

from __future__ import annotations

import copy

import pytest
import torch

from bench import models, registry
from bench.contracts import Classifier, Images, Spec
from bench.harness.views import DefenderView
from bench.keys.domain import InDomain
from bench.parameters import layer_weights
from bench.training import Run, metered
from locks import merge_guard
from locks.kit import probing


def test_weights_that_matter_to_the_prohibited_domain_alone_are_chosen() -> None:
    own = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([0.0, 2.0])}
    other = {"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([-4.0, 1.0])}
    # scores: 3 / 1.5, 1 / 0.5; 4 / 1, 1 / 3
    assert {n: m.tolist() for n, m in probing.highest(other, own, 0.25).items()} == {
        "a": [False, False],
        "b": [True, False],
    }
    assert sum(int(m.sum()) for m in probing.highest(other, own, 0.75).values()) == 3


def test_among_equal_scores_no_more_weights_than_the_share_are_chosen() -> None:
    flat = {"a": torch.zeros(30), "b": torch.zeros(10)}
    assert sum(int(m.sum()) for m in probing.highest(flat, flat, 0.25).values()) == 10


def test_features_drawn_into_one_have_no_scatter() -> None:
    phi = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    assert float(probing.scatter(phi, torch.tensor([[0.0, 0.0], [4.0, 0.0]]))) == pytest.approx(0.25)
    assert float(probing.scatter(torch.ones(3, 2), phi)) == 0


def test_the_mask_of_merge_guard_leaves_out_critical_layers_and_the_rest_of_the_others() -> None:
    importance = {"first": torch.tensor([9.0, 9.0]), "second": torch.arange(10.0), "third": torch.zeros(2)}
    masks = merge_guard.least_to_public(importance, 1 / 3, 0.8)
    assert masks.keys() == {"second", "third"}
    assert masks["second"].nonzero().flatten().tolist() == [8, 9]
    assert not masks["third"].any()  # a fifth of two weights is none


def _protected(name: str, params: dict[str, object], spec: Spec, toy: Images) -> tuple[Classifier, Classifier]:
    lock = registry.INSTALLED.make("lock", name, params)
    view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), lambda e: models.build("cnn", spec, e))
    before = models.build("cnn", spec, seed=3)
    with torch.no_grad():
        for p in before.parameters():
            p.mul_(1.01)  # not the public weights
    return before, lock.protect(copy.deepcopy(before), InDomain(), view, Run(1))


def test_encoder_lock_changes_the_share_of_weights_that_it_says(spec: Spec, toy: Images) -> None:
    """Trains one step: which weights move is what is tested."""
    params = {"steps": 1, "rounds": 1, "probe": 1, "share": 0.01, "batch": 8}
    before, after = _protected("encoder-lock", params, spec, toy)
    body, moved = probing.body(before), 0
    for name, value in after.state_dict().items():
        changed = int((value != before.state_dict()[name]).sum())
        assert name in body or not changed, name
        moved += changed
    assert 0 < moved <= 0.0101 * sum(w.numel() for w in body.values())


def test_merge_guard_puts_weights_back_to_the_public_ones_bit_for_bit(spec: Spec, toy: Images) -> None:
    """Trains one step, without which there is nothing to put back."""
    _, after = _protected("merge-guard", {"steps": 1, "batch": 8}, spec, toy)
    public = models.build("cnn", spec).state_dict()
    head = models.head_names(after)
    back = {n: int((p == public[n]).sum()) for n, p in after.named_parameters() if p.ndim > 1 and n not in head}
    total = {n: p.numel() for n, p in after.named_parameters() if n in back}
    untouched = [n for n, count in back.items() if count < 0.02 * total[n]]
    assert len(untouched) == round(0.1 * len(total))
    assert all(abs(back[n] - 0.1 * total[n]) <= 0.02 * total[n] + 1 for n in back if n not in untouched)


def test_weights_that_merge_guard_puts_back_are_the_public_ones_exactly(
    spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trains fifteen steps. w − (w − p) is not p in floating point, and whoever knows p sees which weights are p."""
    every = {"critical": 0.0, "kept": 0.0}
    _, after = _protected("merge-guard", {"steps": 15, "batch": 8, **every}, spec, toy)
    public = models.build("cnn", spec).state_dict()
    for name, weight in layer_weights(after, head=False).items():
        assert torch.equal(weight, public[name]), name


def test_encoder_lock_draws_a_new_prober_in_every_round_and_takes_its_steps_in_each(
    spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trains four steps and two probers: how many is what is claimed."""
    heads: list[int] = []
    forget = models.forget_head

    def counted(model: Classifier, seed: int) -> None:
        heads.append(seed)
        forget(model, seed)

    monkeypatch.setattr(models, "forget_head", counted)
    lock = registry.INSTALLED.make("lock", "encoder-lock", {"steps": 2, "rounds": 2, "probe": 3, "batch": 8})
    view = DefenderView(spec, toy, toy, InDomain(), lock.needs(), lambda e: models.build("cnn", spec, e))
    with metered(run := Run(1)):
        lock.protect(models.build("cnn", spec, seed=3), InDomain(), view, run)
    assert len(set(heads)) == len(heads) == 2
    assert run.meter.steps == 2 * (2 + 3)


def test_encoder_lock_chooses_its_weights_also_where_the_prober_is_past_the_cap(spec: Spec, toy: Images) -> None:
    """Trains one step. With the cap every score would be 0, and the choice the first weights there are."""
    params = {"steps": 1, "rounds": 1, "probe": 1, "share": 0.01, "batch": 8, "cap": 0.0}
    before, after = _protected("encoder-lock", params, spec, toy)
    moved = {n for n, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[n])}
    assert len(moved) > 3
