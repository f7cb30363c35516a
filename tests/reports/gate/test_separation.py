"""The exact test by which the gate says that seeds are apart."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from reports.gate.separation import CHANCE, least_beyond, least_shift, separated


@pytest.mark.parametrize(("new", "old"), [(4, 4), (5, 3), (3, 5)])
def test_the_chance_is_what_counting_orders_finds(new: int, old: int) -> None:
    """Of all orders, at most 1 in 45 has so many new seeds at the end; one fewer would be more."""
    tails = []
    for order in permutations(range(new + old)):
        tail = next((i for i, who in enumerate(reversed(order)) if who >= new), new)
        tails.append(tail)
    needed = least_beyond(new, old)
    assert len(tails) == factorial(new + old)
    assert np.mean([tail >= needed for tail in tails]) <= CHANCE
    assert np.mean([tail >= needed - 1 for tail in tails]) > CHANCE


@pytest.mark.parametrize(("new", "old", "beyond"), [(2, 8, 2), (3, 8, 3), (8, 8, 5), (2, 14, 2), (1, 44, 1), (2, 6, 2)])
def test_least_beyond_in_closed_form(new: int, old: int, beyond: int) -> None:
    assert least_beyond(new, old) == beyond


def test_the_chance_is_kept_whatever_the_distribution() -> None:
    rng = np.random.default_rng(0)
    for draw in (rng.standard_cauchy, lambda size: rng.integers(0, 3, size).astype(float)):
        found = [separated(draw(5), draw(8)) for _ in range(4000)]
        assert np.mean(found) < CHANCE + 3 * np.sqrt(CHANCE / 4000)


def test_a_tie_is_not_beyond() -> None:
    assert separated(np.array([2.0, 2.0]), np.ones(8))
    assert not separated(np.array([2.0, 1.0]), np.ones(8))


def test_least_shift_is_where_separation_begins() -> None:
    rng = np.random.default_rng(0)
    new, old = rng.normal(size=(20, 8)), rng.normal(size=8)
    for values, shift in zip(new, least_shift(new, old), strict=True):
        assert separated(values + shift + 1e-9, old)
        assert not separated(values + shift - 1e-9, old)
