"""Attacks on the input side: each opens a lock made weak against it, and makes nothing out of random weights."""

from __future__ import annotations

import copy
import json
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import realign
from attacks.consensus import Consensus, vote
from attacks.disguise import _family
from attacks.kit import front, input, selection
from attacks.tent import Adapting
from bench import models, registry
from bench.contracts import AccessDenied, Budget, BudgetSpent, Predictor, ThreatModel
from bench.editors import engine
from bench.editors.settings import EditSettings
from bench.predictors import Direct, describe, rebuild
from bench.training import Run
from tests.helpers.toy_locks import (
    POOL,
    SPEC,
    TEST,
    accuracy,
    inverted,
    locked,
    run_attack,
    tinted,
)


class Case(NamedTuple):
    attack: str
    params: dict[str, Any]
    lock: str
    threat: dict[str, Any]
    key: Any = tinted
    random: bool = True  # whether it must fail on random weights: not where labels alone teach it the toy task


OPENS = {
    "tent": Case("tent", {}, "statistics", {"unlabelled": False}),
    "consensus": Case("consensus", {"prompts": 0, "adapt": 3, "steps": 6, "rounds": 1}, "statistics", {}, random=False),
    "disguise, weights": Case("disguise", {"steps": 2, "width": 4}, "tinted", {"authorised": 0.1}),
    "disguise, logits": Case("disguise", {"trials": 4}, "tinted", {"authorised": 0.1, "access": "logits"}),
    "colour": Case("edit-imitation", {"how": "colour"}, "inverted", {"leaked": 6, "access": "logits"}, inverted),
    "auto": Case("edit-imitation", {"how": "auto", "steps": 2, "width": 4}, "inverted", {"leaked": 6}, inverted),
    "label-free": Case(
        "edit-imitation", {"choose": "label-free", "steps": 2, "width": 4}, "inverted", {"leaked": 6}, inverted
    ),
    "network": Case(
        "learned-input", {"steps": 80, "width": 8, "rate": 0.01}, "tinted", {"share": 0.1}, random=False
    ),
    "visual prompt": Case(
        "learned-input", {"form": "visual-prompt", "steps": 30}, "tinted", {"share": 0.1}, random=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OPENS.values(), ids=OPENS.keys())
def test_it_opens_a_lock_that_is_weak_against_it(case: Case) -> None:
    assert accuracy(Direct(locked(case.lock))) <= 50, "the lock holds to begin with"
    outcome = run_attack(case.attack, case.params, case.lock, case.threat, case.key)
    assert accuracy(outcome.predictor) >= 85


@pytest.mark.parametrize("lock", ["inverted", "destroyed"])
def test_a_student_learns_for_raw_images_what_the_locked_model_says_after_the_right_guess(
    lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edits(run: Run, images: Tensor, prompts: list[str], settings: Any) -> Any:
        return ((p, inverted(images) if p == "with oil pastel" else images) for p in prompts)

    monkeypatch.setattr(Run, "edits", edits)
    threat = {"access": "logits", "known": "editor+settings", "wordlist": "published"}
    params = {"steps": 40, "rounds": 1, "views": 1}
    outcome = run_attack("distillation", {**params, "ask": "guess"}, lock, threat)
    assert outcome.run.meter.guesses == 3
    assert outcome.run.meter.queries == sum(outcome.batches) == 3 * 16 + 48
    if lock == "destroyed":
        assert accuracy(outcome.predictor) <= 67
    else:
        assert accuracy(outcome.predictor) >= 85
        assert accuracy(run_attack("distillation", params, lock, threat).predictor) <= 50, "clean images teach the lock"


@pytest.mark.parametrize("case", [c for c in OPENS.values() if c.random], ids=[n for n, c in OPENS.items() if c.random])
def test_it_makes_nothing_out_of_random_weights(case: Case) -> None:
    outcome = run_attack(case.attack, case.params, "destroyed", case.threat, case.key)
    assert accuracy(outcome.predictor) <= 67, "one class in three at the floor, two by chance"


def test_a_disguise_leaves_the_model_ready_for_what_trains_it_next() -> None:
    outcome = run_attack(
        "compose", {"transform": "disguise", "adaptation": "finetune"}, "tinted", {"authorised": 0.1, "share": 0.1}
    )
    assert outcome.run.meter.steps > 0


WITHHELD = [
    ("tent", {"access": "logits"}),
    ("consensus", {"unlabelled": False}),
    ("disguise", {}),
    ("edit-imitation", {}),
    ("learned-input", {}),
]


@pytest.mark.parametrize(("name", "threat"), WITHHELD)
def test_what_the_threat_model_withholds_is_denied_and_not_accepted(name: str, threat: dict[str, Any]) -> None:
    full = ThreatModel(**{"access": "weights", "share": 0.0, **threat})
    assert not registry.INSTALLED.make("attack", name, {}).accepts(full)
    with pytest.raises(AccessDenied):
        run_attack(name, {}, "destroyed", threat)


def test_queries_and_images_are_metered_as_they_were_asked_for() -> None:
    threat = {"authorised": 0.1, "access": "logits"}
    outcome = run_attack("disguise", {"trials": 2, "probe": 16}, "destroyed", threat)
    family = len(_family(POOL.images, POOL.images, 32))
    assert outcome.run.meter.queries == sum(outcome.batches) == 16 * (family + 2)
    assert (outcome.run.meter.authorised, outcome.run.meter.steps) == (9, 0)
    with pytest.raises(BudgetSpent):
        run_attack("disguise", {"trials": 2, "probe": 16}, "destroyed", threat, budget=Budget(queries=40))
    outcome = run_attack("edit-imitation", {"how": "network", "steps": 3, "width": 4}, "destroyed", {"leaked": 5})
    assert (outcome.run.meter.leaked, outcome.run.meter.steps, outcome.run.meter.forward_images) == (5, 3, 0)


class InvertingEditor:
    """An editor whose every edit is the negative, blended in by α."""

    def keyed(self, images: Tensor, prompt: str, settings: EditSettings) -> Tensor:
        return (1 - settings.alpha) * images + settings.alpha * (1 - images)

    def candidates(self, images: Tensor, prompts: list[str], settings: EditSettings) -> Any:
        yield from ((prompt, self.keyed(images, prompt, settings)) for prompt in prompts)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_another_editor_opens_where_its_settings_come_near_the_key(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "current", lambda _name: InvertingEditor())
    threat = {"known": "prompt", "access": "logits", "share": share}
    plain = run_attack("wrong-editor", {}, "inverted", threat)
    assert plain.run.meter.edited == 0
    assert accuracy(plain.predictor) <= 67
    at_full_strength = run_attack("wrong-editor", {"alpha": 1.0}, "inverted", threat)
    assert at_full_strength.predictor.arguments()["settings"]["alpha"] == 1.0
    assert accuracy(at_full_strength.predictor) >= 85
    by_score = run_attack("wrong-editor", {"candidates": 12, "most": 12}, "inverted", threat)
    assert by_score.run.meter.edited == by_score.run.meter.queries == 13 * 12
    assert accuracy(by_score.predictor) >= 85


def test_a_linear_colour_map_is_recovered_from_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    raw = torch.rand((4, 3, 8, 8), generator=rng)
    weight = torch.tensor([[0.2, 0.3, 0.1], [-0.1, 0.5, 0.0], [0.0, 0.2, 0.3]])
    bias = torch.tensor([0.1, 0.3, 0.2])
    keyed = torch.einsum("dc,nchw->ndhw", weight, raw) + bias.view(1, 3, 1, 1)
    colour = input.least_squares(raw, keyed)
    torch.testing.assert_close(colour.weight, weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(colour.bias, bias, atol=1e-5, rtol=0)
    grey = raw[:, :1].expand(-1, 3, -1, -1)  # channels that say the same leave the map open, not its answers
    torch.testing.assert_close(input.least_squares(grey, grey)(grey), grey, atol=1e-5, rtol=0)


@pytest.mark.parametrize("match", [input.match_channels, input.match_covariance])
def test_matched_colours_have_the_statistics_of_the_other_set(match: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand((6, 3, 16, 16), generator=rng) * 0.5
    like = 0.3 + 0.4 * torch.rand((5, 3, 16, 16), generator=rng)
    outcome = match(images, like)(images)
    torch.testing.assert_close(outcome.mean((0, 2, 3)), like.mean((0, 2, 3)), atol=1e-2, rtol=0)
    torch.testing.assert_close(outcome.std((0, 2, 3)), like.std((0, 2, 3)), atol=1e-2, rtol=0)


def test_swapping_an_amplitude_with_its_own_gives_the_image_back() -> None:
    images = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    for band in (0.0, 0.3, 1.0):
        same = torch.cat([input.Swap(32, band).set(one)(one) for one in images.split(1)])
        torch.testing.assert_close(same, images, atol=1e-5, rtol=0)
    other = input.Swap(32, 0.0).set(images[1:2])(images[:1])  # the lowest frequency alone: the mean of each channel
    torch.testing.assert_close(
        other - other.mean((2, 3), keepdim=True), images[:1] - images[:1].mean((2, 3), keepdim=True), atol=0.1, rtol=0
    )


@pytest.mark.parametrize(
    "front", [input.Residual(32, 4), input.Pattern(32, 0), input.Pattern(32, 3), input.Colour()], ids=repr
)
def test_what_stands_in_front_starts_as_the_identity(front: input.Transform) -> None:
    assert torch.equal(front(TEST.images[:4]), TEST.images[:4])


def test_a_frame_changes_nothing_inside() -> None:
    frame = input.Pattern(32, 3)
    nn.init.constant_(frame.pattern, 0.5)
    outside = (frame(torch.zeros(1, 3, 32, 32)) > 0).float()
    assert outside[..., 3:-3, 3:-3].sum() == 0
    assert outside.mean() == 1 - (26 / 32) ** 2


def test_a_chain_is_rebuilt_from_json_and_tensors() -> None:
    chain = [input.Colour().set(-torch.eye(3), torch.ones(3)), input.Swap(32, 0.2).set(TEST.images[:5])]
    outcome = front.InFront.of(Direct(locked("inverted")), *chain, input.Moments(0.5).set(TEST.images[:5]))
    again = rebuild(json.loads(json.dumps(describe(outcome))), outcome.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.predict(TEST.images[:4]), outcome.predict(TEST.images[:4]))


def _stream(predictor: Predictor) -> Tensor:
    with torch.no_grad():
        return torch.cat([predictor.predict(part) for part in TEST.images[:30].split(10)])


def test_tent_adapts_the_same_way_each_time_and_a_copy_goes_on_from_where_it_was() -> None:
    fresh = Adapting(copy.deepcopy(locked("statistics")), 1, 1e-2, "batch", "before")
    one, two = copy.deepcopy(fresh), copy.deepcopy(fresh)
    assert torch.equal(_stream(one), _stream(two))
    assert not torch.equal(_stream(one), _stream(fresh)), "the second pass of a stream sees an adapted model"
    assert torch.equal(_stream(copy.deepcopy(two)), _stream(two))
    assert one.predict(TEST.images[:1]).shape == (1, 3)


def test_tent_moves_norm_layers_alone_and_lowers_entropy() -> None:
    for name in ("cnn", "vit"):
        model = models.build(name, SPEC, seed=1)
        outcome = Adapting(copy.deepcopy(model), 5, 1e-2, "batch", "after")
        images = TEST.images[:12]

        def entropy(logits: Tensor) -> float:
            return float(-(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean())

        before = Adapting(copy.deepcopy(model), 1, 1e-2, "batch", "before").predict(images)
        assert entropy(outcome.predict(images)) < entropy(before)
        norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d | nn.LayerNorm)}
        state = dict(outcome.classifier.named_parameters())
        outside = {n.rpartition(".")[0] for n, p in model.named_parameters() if not torch.equal(p, state[n])}
        assert outside
        assert outside <= norms


def test_a_view_that_is_sure_but_alone_is_outvoted() -> None:
    right = F.one_hot(torch.arange(30) % 3, 3).float()
    alone = F.one_hot((torch.arange(30) + 1) % 3, 3).float()
    consensus = vote([right * 6, right * 6, alone * 6], 3, 0.2)
    assert torch.equal(consensus.argmax(1), right.argmax(1))
    torch.testing.assert_close(consensus.sum(1), torch.ones(30))


def test_mass_on_extra_outputs_lowers_the_label_free_score() -> None:
    confident = F.one_hot(torch.arange(30) % 3, 4).float() * 8
    astray = confident.clone()
    astray[:, 3] = 12
    assert selection.information_and_mass(confident, 3) > selection.information_and_mass(astray, 3) + 1


def test_edits_that_a_budget_does_not_cover_leave_the_adapted_model(monkeypatch: pytest.MonkeyPatch) -> None:
    submissions: list[dict[str, Any]] = []

    def spent(*_: Any) -> list[Tensor]:
        raise BudgetSpent("guesses: 0")

    monkeypatch.setattr(Consensus, "_edits", spent)
    monkeypatch.setattr(Run, "submit", lambda _run, _predictor, **what: submissions.append(what))
    with pytest.raises(BudgetSpent):
        run_attack("consensus", {"adapt": 1}, "statistics", {"wordlist": "published"})
    assert submissions == [{"what": "adapted"}]


def test_checkpoints_are_compared_by_the_shares_that_training_went_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them a collapsed checkpoint would be its own measure."""
    shares, seen = torch.full((3,), 1 / 3), []

    def choice(candidates: Any, images: Any, by: Any = None) -> Any:
        seen.append(by)
        return next(iter(candidates)), {}

    monkeypatch.setattr(realign, "class_shares", lambda *_: shares)
    monkeypatch.setattr(realign, "most_informative", choice)
    run_attack("realign", {"steps": 1, "select": "label-free"}, "statistics", {"authorised": 0.1})
    assert seen == [shares]
