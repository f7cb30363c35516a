"""The key in the weights: what it puts back where."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.contracts import Withheld
from bench.contracts.plugins import weights_after
from bench.contracts.withheld import difference, put_back
from bench.keys.none import Identity
from bench.keys.weights import WeightKey

WORKING = {"a": torch.arange(1.0, 13.0).view(3, 4), "b": torch.arange(20.0, 40.0), "c": torch.ones(2)}
SHIPPED = {"a": WORKING["a"].clone(), "b": WORKING["b"].clone(), "c": WORKING["c"]}
SHIPPED["a"][0, 1] = SHIPPED["a"][2, 3] = 0.0
SHIPPED["b"][4:14] = 0.0
WITHHELD = difference(WORKING, SHIPPED)


def _changed(weights: dict[str, torch.Tensor]) -> int:
    return sum(int((weights[name] != SHIPPED[name]).sum()) for name in SHIPPED)


def test_the_difference_is_the_entries_that_differ_and_puts_them_back_bit_for_bit() -> None:
    assert set(WITHHELD) == {"a", "b"}
    assert WITHHELD["a"].at.tolist() == [1, 11]
    assert WITHHELD["a"].values.tolist() == [2.0, 12.0]
    again = put_back(SHIPPED, WITHHELD)
    assert all(torch.equal(again[name], WORKING[name]) for name in WORKING)
    assert again["c"] is SHIPPED["c"]
    assert float(SHIPPED["a"][0, 1]) == 0.0, "what ships stays as it is"


def test_the_right_key_restores_the_model_and_leaves_images_alone() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert WeightKey()(images) is images
    again = weights_after(WeightKey(), SHIPPED, WITHHELD)
    assert all(torch.equal(again[name], WORKING[name]) for name in WORKING)


def test_a_key_of_images_leaves_weights_alone() -> None:
    assert weights_after(Identity(), SHIPPED, WITHHELD) is SHIPPED


@given(st.floats(0, 1), st.integers(0, 2**62))
def test_a_part_of_the_key_puts_back_its_share_and_nothing_else(share: float, seed: int) -> None:
    weights = WeightKey(share=share, seed=seed).apply(SHIPPED, WITHHELD)
    assert _changed(weights) == round(share * 12)
    for name, weight in weights.items():
        assert bool(((weight == SHIPPED[name]) | (weight == WORKING[name])).all())


def test_values_in_another_order_stay_at_their_places() -> None:
    weights = WeightKey(drawn="values", seed=1).apply(SHIPPED, WITHHELD)
    at = WITHHELD["b"].at
    assert sorted(weights["b"][at].tolist()) == WITHHELD["b"].values.tolist()
    assert weights["b"][at].tolist() != WITHHELD["b"].values.tolist()


def test_noise_has_the_spread_that_it_says() -> None:
    many = {"w": Withheld(torch.arange(20_000), torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 3)}
    weights = WeightKey(noise=0.1, seed=2).apply({"w": torch.zeros(20_000)}, many)
    assert float((weights["w"] - many["w"].values).std()) == pytest.approx(0.3, rel=0.05)


def test_a_key_comes_back_from_json_with_its_conditions() -> None:
    method = registry.load(registry.current().find("key", "weights"))
    assert method.from_json(WeightKey().to_json()) == WeightKey()
    conditions = WeightKey().conditions(5)
    assert [c.kind for c in conditions] == ["none", "partial", "partial", "near", "near", "wrong", "wrong"]
    for condition in conditions:
        again = weights_after(method.from_json(condition.key.to_json()), SHIPPED, WITHHELD)
        expected = weights_after(condition.key, SHIPPED, WITHHELD)
        assert all(torch.equal(again[name], expected[name]) for name in SHIPPED), condition.label
        assert not all(torch.equal(again[name], WORKING[name]) for name in SHIPPED), condition.label
    assert len({c.key.describe() for c in conditions}) == len(conditions)
