"""Information maximisation and the consensus of looks: losses by hand, and what they do to a toy lock."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks.kit import information
from attacks.kit.information import Recipe, balanced, maximise, mixed
from attacks.kit.selection import mutual_information
from bench.contracts import Classifier, Images
from bench.predictors import Direct
from bench.training import Run
from tests.helpers.toy_locks import accuracy, inverted, locked, run_attack


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
