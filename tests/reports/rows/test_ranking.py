"""Ranks: only what noise cannot explain is an order."""

from __future__ import annotations

import pytest

from reports.rows.intervals import T, Value
from reports.rows.ranking import ranges
from reports.rows.statistics import t_interval


def over_seeds(*seeds: float, images: float = 5.0) -> Value:
    mean = sum(seeds) / len(seeds)
    return Value(mean, seeds, *t_interval(seeds), T, (mean - images, mean + images))


def test_the_lock_with_the_least_advantage_is_first() -> None:
    assert ranges([over_seeds(40.0, 41.0, 42.0), over_seeds(10.0, 11.0, 12.0)]) == [(2, 2), (1, 1)]
    assert ranges([over_seeds(10.0, 20.0, 30.0), over_seeds(15.0, 25.0, 35.0)]) == [(1, 2), (1, 2)]


@pytest.mark.parametrize(("apart", "expected"), [(0.25, [(1, 2), (1, 2)]), (60.0, [(1, 1), (2, 2)])])
def test_seeds_that_agree_to_the_last_image_are_not_certain(apart: float, expected: list[tuple[int, int]]) -> None:
    assert ranges([over_seeds(*[20.0] * 3), over_seeds(*[20.0 + apart] * 3)]) == expected
