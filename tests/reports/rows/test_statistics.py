"""Statistics against hand-computed or scipy values, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.rows import statistics as s


def test_t_interval_by_hand() -> None:
    values = [71.0, 74.5, 69.0, 80.0]
    arm = 3.182446305284263 * np.std(values, ddof=1) / 2  # the 97.5 % quantile of t with 3 degrees of freedom
    assert s.t_interval(values) == pytest.approx((73.625 - arm, 73.625 + arm), abs=1e-9)
    assert s.t_interval([3.0, 3.0]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least 2"):
        s.t_interval([1.0])


def test_t_interval_covers_as_stated() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(50, 4, (2000, 3))
    hits = sum(low <= 50 <= high for low, high in map(s.t_interval, samples.tolist()))
    low, high = s.wilson(hits, 2000)
    assert low <= 0.95 <= high


def test_nested_bootstrap_is_wider_than_images_alone_where_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    chances = (0.5, 0.6, 0.7, 0.8, 0.9)
    correct = [rng.random(400) < c for c in chances]
    draws = [s.resample({"x": c}, i)["x"] for i, c in enumerate(correct)]
    low, high = s.nested(draws)
    images = s.percentiles(np.mean(draws, axis=0))
    assert high - low > 2 * (images[1] - images[0])
    assert low < 100 * np.mean(correct) < high


def test_images_that_all_seeds_share_do_not_average_out() -> None:
    correct = np.random.default_rng(0).random(400) < 0.6
    draws = s.resample({"x": correct}, 1)["x"]
    assert s.nested([draws] * 8) == pytest.approx(s.percentiles(draws))


@pytest.mark.parametrize("seeds", [5, 8, 20])
def test_a_nested_bootstrap_covers_what_it_says_where_only_seeds_differ(seeds: int) -> None:
    samples = np.random.default_rng(2).normal(50, 4, (1000, seeds))
    intervals = [s.nested([np.full(s.DRAWS, value) for value in values]) for values in samples]
    hits = sum(low <= 50 <= high for low, high in intervals)
    low, high = s.wilson(hits, len(samples))
    assert low <= 0.95
    assert high >= 0.93


def test_resampling_is_paired() -> None:
    right = np.arange(50) % 3 == 0
    draws = s.resample({"a": right, "b": right, "c": ~right}, 0)
    assert np.array_equal(draws["a"], draws["b"])
    assert draws["a"] + draws["c"] == pytest.approx(100.0)


def _two(b: int, c: int, both: int = 10) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([True] * b + [False] * c + [True] * both)
    second = np.array([False] * b + [True] * c + [True] * both)
    return first, second


def test_mcnemar_by_hand() -> None:
    assert s.mcnemar(*_two(6, 1)) == (6, 1, pytest.approx(2 * 8 / 128))
    assert s.mcnemar(*_two(6, 1), "greater").p == pytest.approx(8 / 128)
    assert s.mcnemar(*_two(0, 0)).p == 1.0
    assert s.mcnemar(*_two(3, 3)).p == 1.0
    with pytest.raises(ValueError, match="not the same images"):
        s.mcnemar(np.ones(3, bool), np.ones(4, bool))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_twice_the_smaller_tail(b: int, c: int) -> None:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert s.mcnemar(*_two(b, c)).p == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    exact = 0
    for _ in range(1500):
        first, second = rng.random((2, 200)) < 0.8
        exact += s.mcnemar(first, second).p < 0.05
    assert s.wilson(exact, 1500)[0] <= 0.05


def test_wilson_by_hand() -> None:
    # (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) at 5 of 500
    z, p, n = stats.norm.ppf(0.975), 0.01, 500
    mid, arm = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    assert s.wilson(5, 500) == pytest.approx(((mid - arm) / (1 + z * z / n), (mid + arm) / (1 + z * z / n)))
    assert s.wilson(0, 20)[0] == pytest.approx(0.0, abs=1e-12)


def test_holm_by_hand() -> None:
    assert s.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert s.holm([0.5, 0.9]) == [1.0, 1.0]
    assert s.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    for raw, adjusted in zip(p, s.holm(p), strict=True):
        assert raw <= adjusted <= min(1.0, len(p) * raw) + 1e-12


def test_minimal_effect_is_found_as_often_as_stated() -> None:
    effect = s.minimal_effect(400, 3, 60.0, seed_deviation=4.0)
    rng = np.random.default_rng(2)
    detected = 0
    for _ in range(2000):
        a, b = rng.normal(60, 4, 3), rng.normal(60 + effect, 4, 3)
        detected += stats.ttest_ind(a, b).pvalue < 0.05
    assert 0.75 < detected / 2000 < 0.87


def test_minimal_effect_shrinks_with_images_and_seeds_and_is_never_zero() -> None:
    assert s.minimal_effect(400, 1, 60) > s.minimal_effect(1600, 1, 60)
    assert s.minimal_effect(400, 3, 60, 5) > s.minimal_effect(400, 8, 60, 5)
    assert s.minimal_effect(400, 3, 100.0) > 0


def test_ranks_are_ranges_where_noise_cannot_tell() -> None:
    # a clearly above c; b tied with both
    assert s.ranks([90.0, 85.0, 80.0], {(0, 1): (-1, 11), (0, 2): (4, 16), (1, 2): (-2, 12)}) == [
        (1, 2),
        (1, 3),
        (2, 3),
    ]
    assert s.ranks([1.0, 3.0, 2.0], {}) == [(3, 3), (1, 1), (2, 2)]
    assert s.ranks([5.0, 5.0], {}) == [(1, 2), (1, 2)]


def test_the_p_value_of_a_difference_is_5_percent_where_its_interval_ends_at_0() -> None:
    assert s.p_of_interval(4.0, 4.0) == pytest.approx(0.05)
    assert s.p_of_interval(-4.0, 4.0) == pytest.approx(0.05)
    assert s.p_of_interval(0.0, 4.0) == 1.0
    assert s.p_of_interval(4.0, 4.0, df=2) == pytest.approx(0.05)
    # With one degree of freedom t is Cauchy's.
    assert s.p_of_interval(8.0, 4.0, df=1) == pytest.approx(1 - 2 / np.pi * np.arctan(2 * np.tan(0.475 * np.pi)))
    assert (s.p_of_interval(0.0, 0.0), s.p_of_interval(1.0, 0.0)) == (1.0, 0.0)


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_percentiles_are_numpys_with_undefined_values_left_out(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    assert s.percentiles(np.append(x, np.nan)) == pytest.approx(np.percentile(x, [2.5, 97.5]))
    assert np.isnan(s.percentiles(np.full(3, np.nan))).all()
