"""Trigger inversion: what stands for the key, where it may stand, and that its size is what is written."""

from __future__ import annotations

import pytest
import torch

from attacks.kit.front import InFront
from attacks.kit.inverted import LowRank, Trigger
from attacks.trigger_inversion import corner_of
from bench import models
from bench.contracts import Spec
from bench.keys import _secret
from bench.keys.trigger import CORNERS, TriggerKey
from bench.predictors import Direct

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
