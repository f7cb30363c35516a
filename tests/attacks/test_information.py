"""Information maximisation and the consensus of looks: losses by hand, and what they do to a toy lock."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import look_consensus
from attacks.kit import information
from attacks.kit.canonical import Look
from attacks.kit.information import Recipe, balanced, maximise, mixed
from attacks.kit.output_maps import even_out
from attacks.kit.selection import mutual_information
from bench import models
from bench.contracts import Budget, BudgetSpent, Classifier, Images, ThreatModel
from bench.predictors import Direct
from bench.training import Run
from tests.helpers.toy_locks import POOL, SPEC, accuracy, inverted, locked, run_attack


class Table(Classifier):
    """A classifier that knows each image by its shade: a row of logits for each of four shades."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.spec, self.k, self.extra = {}, start.shape[1], 0
        self.table = torch.nn.Parameter(start.clone())

    def features(self, x: Tensor) -> list[Tensor]:
        return [x]

    def embed(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None]

    def head(self, embedding: Tensor) -> Tensor:
        return self.table[(embedding[:, 0] * 4).long().clamp(max=3)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


SHADES = Images(
    torch.tensor([30, 90, 160, 220], dtype=torch.uint8)[:, None, None, None].expand(4, 3, 8, 8).contiguous()
)


def trained(start: Tensor, recipe: Recipe, labelled: list[Images], answers: Tensor | None = None) -> Tensor:
    model = Table(start)
    maximise(model, SHADES, labelled, Run(1), recipe, answers)
    return model(SHADES.images).detach()


def test_answers_become_confident_and_balanced() -> None:
    start = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.05, 0.0], [0.0, 0.0]])
    after = trained(start, Recipe(200, 0.1, 4), [])
    assert float(mutual_information(after)) == pytest.approx(math.log(2), abs=0.02)
    assert after.argmax(1).tolist() == [0, 0, 1, 1], "the surest of the first class stay, the others balance it"


def test_labels_name_what_information_finds() -> None:
    start = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.05, 0.0], [0.0, 0.0]])
    few = Images(SHADES.pixels[[0, 3]], torch.tensor([1, 0]))
    after = trained(start, Recipe(300, 0.1, 4), [few])
    assert after.argmax(1)[[0, 3]].tolist() == [1, 0]


def test_the_anchor_leads_at_first_and_is_gone_in_the_end() -> None:
    """Its answers win against the model's own; as it fades, answers go on to full confidence."""
    start = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.05, 0.0], [0.0, 0.0]])
    answers = torch.tensor([[0.3, 0.7], [0.3, 0.7], [0.7, 0.3], [0.7, 0.3]])
    after = trained(start, Recipe(300, 0.1, 4, anchor=3.0), [], answers)
    assert after.argmax(1).tolist() == [1, 1, 0, 0]
    assert float(after.softmax(1).max(1).values.min()) > 0.95


def test_balanced_answers_have_rows_of_one_and_equal_classes() -> None:
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    q = balanced(p, rounds=50)
    torch.testing.assert_close(q.sum(1), torch.ones(4))
    torch.testing.assert_close(q.sum(0), torch.full((2,), 2.0), atol=1e-3, rtol=0)
    assert q[:, 0].tolist() == sorted(q[:, 0].tolist(), reverse=True), "the order of images stays"
    torch.testing.assert_close(balanced(torch.full((4, 2), 0.5)), torch.full((4, 2), 0.5))


def test_mixed_leaves_about_half_in_their_own_colours() -> None:
    images = torch.rand((400, 1, 8, 8), generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1).contiguous()
    changed = mixed(images, torch.Generator().manual_seed(1))
    grey = (changed - changed.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
    assert 0.5 < float(grey.float().mean()) < 0.75, "half, and a quarter of what recolour got"
    assert set(information.AUGMENTATIONS) == {"jitter", "recolour", "mixed"}


CASES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "statistics": ("information-maximisation", {"steps": 20, "answer_steps": 5}, "statistics", {}),
    "with labels": ("information-maximisation", {"steps": 20, "answer_steps": 5}, "statistics", {"share": 0.1}),
    "a look": ("look-consensus", {"steps": 20, "again": 5, "search_rounds": 0}, "inverted", {}),
    "a look, interface": (
        "look-consensus",
        {"steps": 30, "again": 5, "search_rounds": 0},
        "inverted",
        {"access": "logits", "share": 0.1},
    ),
}


@pytest.mark.parametrize(("attack", "params", "lock", "threat"), CASES.values(), ids=CASES.keys())
def test_what_hides_a_task_is_undone(attack: str, params: dict[str, Any], lock: str, threat: dict[str, Any]) -> None:
    """It trains lock and attack for a second each: whether training undoes a lock shows in no closed form."""
    before = accuracy(Direct(locked(lock)))
    outcome = run_attack(attack, params, lock, threat, key=inverted)
    assert accuracy(outcome.predictor) > before + 15
    assert len(outcome.run.submissions) >= 2


class Shy(Images):
    """A set that may be read in batches alone, as one that is larger than the memory."""

    @property
    def images(self) -> Tensor:
        raise MemoryError("all images at once")


def test_statistics_are_taken_in_batches() -> None:
    model, other = (models.build("cnn", SPEC, seed=3) for _ in range(2))
    information.own_statistics(model, Shy(POOL.pixels))
    models.reestimate_batch_norm(other, POOL.images)
    for one, two in zip(models.batch_norms(model), models.batch_norms(other), strict=True):
        assert torch.equal(one.running_mean, two.running_mean)  # type: ignore[arg-type]


def test_statistics_of_a_set_do_not_depend_on_its_being_sorted_by_class() -> None:
    """Batches of one class vary too little: the statistics of a sorted set would be those within a class."""
    bright = torch.linspace(0, 255, 256).round().byte()
    pixels = bright[:, None, None, None].expand(256, 3, 16, 16).contiguous()
    model = models.build("cnn", SPEC, seed=3)
    information.own_statistics(model, Images(pixels))
    first = models.batch_norms(model)[0]
    whole = models.build("cnn", SPEC, seed=3)
    models.reestimate_batch_norm(whole, Images(pixels), batch=256)
    other = models.batch_norms(whole)[0]
    torch.testing.assert_close(first.running_var, other.running_var, rtol=0.1, atol=0.0)


def test_a_single_image_leaves_the_statistics_as_they_are() -> None:
    model, before = (models.build("cnn", SPEC, seed=3) for _ in range(2))
    information.own_statistics(model, POOL.subset(torch.arange(1)))
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in model.state_dict().items())


def test_looks_vote_in_batches_by_the_softmax_of_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_consensus, "BATCH", 20)
    sizes: list[int] = []

    class Target:
        """Its locked model knows bright images from dark ones."""

        threat, spec = ThreatModel(access="logits"), SPEC

        def query(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            bright = images.mean((1, 2, 3))
            return torch.stack([1 - bright, bright, 0 * bright], 1)

    looks = [(Look(), 0.3), (Look(ground="inverted"), 0.2)]
    target: Any = Target()
    p = look_consensus.vote(target, Shy(POOL.pixels), looks)
    as_they_are, turned = (balanced(target.query(x), sharpness=1) for x in (POOL.images, 1 - POOL.images))
    weights = torch.tensor([3.0, 2.0]).softmax(0)
    torch.testing.assert_close(p, weights[0] * as_they_are + weights[1] * turned)
    assert sizes[:-2] == [20, 20, 8] * 2


def test_a_small_budget_of_queries_is_spent_on_images_of_the_whole_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool may be sorted by class, and its first images of one class."""
    voters: list[Images] = []

    def vote(_target: Any, images: Images, _scores: Any) -> Tensor:
        voters.append(images)
        raise BudgetSpent

    monkeypatch.setattr(look_consensus, "vote", vote)
    params = {"looks": 1, "probe": 2, "beam": 1, "search_rounds": 0}
    searched = run_attack("canonicalise", {"probe": 2, "beam": 1, "rounds": 0}, "inverted", {"access": "logits"})
    budget = Budget(queries=(searched.run.meter.queries or 0) + 12)
    with pytest.raises(BudgetSpent):
        run_attack("look-consensus", params, "inverted", {"access": "logits"}, budget=budget)
    (images,) = voters
    assert len(images) == 12
    assert not torch.equal(images.pixels, POOL.pixels[:12])


def test_balanced_answers_do_not_hear_what_a_lock_adds_to_every_answer() -> None:
    """A class that is answered always, however surely, hides no other, and neither does a large output of one image."""
    scores = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    even = balanced(scores)
    torch.testing.assert_close(even.sum(1), torch.ones(60))
    torch.testing.assert_close(even.sum(0), torch.full((5,), 12.0), atol=0.1, rtol=0)
    constant = torch.tensor([400.0, -30.0, 0.0, 90.0, -400.0])
    torch.testing.assert_close(balanced(scores + constant), even, atol=1e-3, rtol=0)
    torch.testing.assert_close(balanced(scores + 50 * torch.arange(60.0)[:, None]), even, atol=1e-3, rtol=0)
    bias = even_out(scores, 30)
    torch.testing.assert_close(even_out(scores + constant, 30) + constant, bias, atol=1e-3, rtol=0)


def test_statistics_of_few_images_are_those_of_all_of_them() -> None:
    """66 images are two batches of 33, not 64 and 2 of which each counts half."""
    bright = torch.linspace(0, 1, 66)[:, None, None, None].expand(66, 3, 8, 8).contiguous()
    norm = torch.nn.BatchNorm2d(3)
    models.reestimate_batch_norm(norm, bright)
    models.reestimate_batch_norm(torch.nn.BatchNorm1d(3), torch.rand(7, 3), batch=2)  # no batch is of one image
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var, bright.var((0, 2, 3)), rtol=0.05, atol=0)
