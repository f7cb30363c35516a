"""Trigger inversion: what stands for the key, where it may stand, and that its size is what is written."""

from __future__ import annotations

import pytest
import torch

from attacks.kit.front import InFront
from attacks.kit.inverted import LowRank, Trigger
from attacks.trigger_inversion import TriggerInversion, corner_of
from bench import models
from bench.contracts import Images, Spec
from bench.keys import _secret
from bench.keys.trigger import CORNERS, TriggerKey
from bench.predictors import Direct
from bench.training import Run

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_patch_behind_a_mask_is_the_formula() -> None:
    front = Trigger(16, (12, 16, 0, 4))
    with torch.no_grad():
        front.m.fill_(100.0)  # M is 1 inside its window
        front.p.fill_(100.0)  # and P is 1
    out = front(IMAGES)
    assert (out[:, :, 12:, :4] == 1).all()
    out[:, :, 12:, :4] = IMAGES[:, :, 12:, :4]
    assert torch.equal(out, IMAGES)
    assert front.size_of_change().item() == 1
    assert Trigger(16).size_of_change().item() < 0.01  # closed to begin with


@pytest.mark.parametrize("corner", CORNERS)
def test_known_settings_put_the_patch_where_the_key_adds_its_own(corner: str) -> None:
    key = TriggerKey(_secret.of(1), 4, corner=corner)
    rows, columns = key.place(16, 16)
    assert corner_of(key.parts()["settings"], 16) == (rows.start, rows.stop, columns.start, columns.stop)
    assert corner_of({}, 16) is None
    assert corner_of({"side": 20, "corner": corner}, 16) is None
    assert corner_of({"side": 4, "corner": "middle"}, 16) is None


def test_a_low_rank_pattern_has_that_rank_and_is_added() -> None:
    front = LowRank(16, 2)
    assert [int(torch.linalg.matrix_rank(c)) for c in front.pattern[0].detach()] == [2, 2, 2]
    torch.testing.assert_close(front(IMAGES), (IMAGES + front.pattern).clamp(0, 1))


def test_a_predictor_with_either_in_front_comes_back_from_its_arguments() -> None:
    model = models.build("cnn", Spec(size=16, classes=tuple("ab")), weights="random", seed=0).eval()
    for front in (Trigger(16, (0, 4, 0, 4)), LowRank(16, 2)):
        predictor = InFront.of(Direct(model), front)
        again = InFront(Direct(model), **predictor.arguments())
        again.load_state_dict(predictor.state_dict())
        torch.testing.assert_close(again.predict(IMAGES), predictor.predict(IMAGES))


class TestTraining:
    """What a start ends in, on a model that reads one pixel."""

    @pytest.fixture
    def run(self) -> Run:
        return Run(0)

    def _images(self) -> Images:
        labels = torch.arange(6) % 2
        return Images(torch.full((6, 3, 8, 8), 100, dtype=torch.uint8), labels)

    def test_nothing_but_the_loss_moves_what_is_searched_for(self, run: Run) -> None:
        """Weight decay would pull P to grey and open M, whatever the model answers."""
        model = models.build("cnn", Spec(size=8, classes=tuple("ab")), weights="random", seed=0).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()  # it answers the same to everything
        front = Trigger(8)
        before = front.m.detach().clone(), front.p.detach().clone()
        out = TriggerInversion(steps=30, c=0.0)._train(model, front, self._images(), True, run, "still")
        torch.testing.assert_close(out.m.detach(), before[0])
        torch.testing.assert_close(out.p.detach(), before[1])

    def test_the_best_state_on_the_way_is_kept(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        scores = iter([0.2, 0.9, 0.9, 0.1, 0.1])
        seen: list[torch.Tensor] = []

        def score(_model: object, front: Trigger, *_: object) -> float:
            seen.append(front.m.detach().clone())
            return next(scores)

        monkeypatch.setattr("attacks.trigger_inversion._score", score)
        model = models.build("cnn", Spec(size=8, classes=tuple("ab")), weights="random", seed=0).eval()
        out = TriggerInversion(steps=101, c=1.0)._train(model, Trigger(8), self._images(), True, run, "way")
        assert len(seen) == 5
        assert torch.equal(out.m.detach(), seen[2]), "the smaller of the two best"
