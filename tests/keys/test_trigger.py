"""The trigger key: where it adds what, and that its secret decides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.contracts import BadParameter
from bench.keys import _secret
from bench.keys.trigger import CORNERS, TriggerKey

SECRET = _secret.of(7)
IMAGES = torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float() / 255


def test_a_trigger_adds_its_pattern_in_the_corner_with_saturation_and_nothing_elsewhere() -> None:
    key = TriggerKey(SECRET, 4)
    out = key(torch.full((1, 3, 16, 16), 0.25))
    torch.testing.assert_close(out[0, :, 12:, 12:], (0.25 + key.pattern()).clamp(max=1))
    out[:, :, 12:, 12:] = 0.25
    assert torch.equal(out, torch.full((1, 3, 16, 16), 0.25))


@pytest.mark.parametrize("corner", CORNERS)
def test_each_corner_is_where_it_says(corner: str) -> None:
    changed = (TriggerKey(SECRET, 4, corner=corner)(torch.zeros(1, 3, 16, 16)).sum(1)[0] > 0).nonzero()
    vertical, horizontal = corner.split("-")
    assert (changed[:, 0] >= 12).all() if vertical == "bottom" else (changed[:, 0] < 4).all()
    assert (changed[:, 1] >= 12).all() if horizontal == "right" else (changed[:, 1] < 4).all()


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_two_secrets_have_two_patterns_and_each_of_them_is_half_full(one: int, other: int) -> None:
    first, second = (TriggerKey(_secret.of(n), 8).pattern() for n in (one, other))
    assert torch.equal(first, second) == (one == other)
    assert 0.2 < first.mean() < 0.8


@given(st.floats(0, 1))
def test_the_inverted_share_is_what_it_says(share: float) -> None:
    right = TriggerKey(SECRET, 4).pattern()
    other = TriggerKey(SECRET, 4, inverted=share).pattern()
    assert int((right != other).sum()) == round(share * 48)


def test_a_trigger_comes_back_from_json_with_its_conditions() -> None:
    key = TriggerKey(SECRET, 4, 0.5)
    method = registry.load(registry.current().find("key", "trigger"))
    assert method.from_json(key.to_json()) == key
    conditions = key.conditions(5)
    assert [c.kind for c in conditions] == ["none", "near", "near", "wrong", "wrong", "wrong"]
    for condition in conditions:
        again = method.from_json(condition.key.to_json())
        assert torch.equal(again(IMAGES), condition.key(IMAGES)), condition.label
        assert not torch.equal(condition.key(IMAGES), key(IMAGES)), condition.label
    assert SECRET not in str(key.parts()) + key.describe()


def test_a_corner_larger_than_the_image_is_refused() -> None:
    with pytest.raises(BadParameter, match="does not fit"):
        TriggerKey(SECRET, 20)(IMAGES)


def test_a_pattern_that_is_read_is_a_copy() -> None:
    key = TriggerKey(SECRET, 4)
    before = key(IMAGES)
    key.pattern().fill_(0.0)
    assert torch.equal(key(IMAGES), before)
