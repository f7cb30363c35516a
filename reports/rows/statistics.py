"""Statistics that tables, gate and claims share: pure functions, no records.

Below `NESTED_FROM` seeds the interval is a t interval over per-seed means. From there on it is a nested bootstrap over
seeds and the images of each. Accuracies are percent, rates fractions, levels and p-values in (0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from bench.metrics import mean_iou, mean_iou_draws
from bench.metrics import wilson as wilson

NESTED_FROM = 5
"""Number of seeds from which seeds are resampled; a bootstrap over fewer would be far too narrow."""

DRAWS = 2000
"""Resamples of a bootstrap."""
KEPT = 1000
"""Images of a test split up to which its resamples are kept in memory: 8 MB."""

Draws = NDArray[np.float64]
"""(B,) values of one quantity over resamples."""
Right = NDArray[np.bool_]
"""(n,) whether each test image was right."""
Answered = NDArray[Any]
"""What each test image adds to a number: `Right` for an accuracy, (n, K, K + 1) confusion counts for a mean IoU."""


def t_quantile(chance: float, df: int) -> float:
    """The ``chance`` quantile of Student's t with ``df`` degrees of freedom."""
    return float(stdtrit(df, chance))


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The t interval of the mean of at least 2 values.

    Raises:
        ValueError: fewer than 2 values.
    """
    from scipy.stats import sem, t  # here, since most commands need not wait for all of scipy.stats

    if len(values) < 2:
        raise ValueError("a t interval needs at least 2 values")
    error = float(sem(values))
    if error == 0:  # scipy has no interval without spread
        return float(np.mean(values)), float(np.mean(values))
    low, high = t.interval(level, len(values) - 1, loc=np.mean(values), scale=error)
    return float(low), float(high)


def nested(draws: Sequence[Draws]) -> tuple[float, float]:
    """95 % interval of the mean over seeds, with seeds and images resampled.

    All seeds are judged on the same test images. So one resample of images serves all seeds, and images do not average
    out over seeds. A plain bootstrap over S seeds is too narrow, by √((S − 1)/S) and by the normal's tails. Deviations
    from the mean are therefore widened by √(S/(S − 1)) · t(S − 1)/z. Where images do not matter, that gives the t
    interval.

    Args:
        draws: for each seed (B,) values over resampled images; the b-th of every seed is of the same images.
    """
    table = np.stack(draws)
    n = len(table)
    over_images = table.mean(axis=0)
    over_both = table[_seed_choices(n, table.shape[1]), np.arange(table.shape[1])[:, None]].mean(axis=1)
    wider = math.sqrt(n / (n - 1)) * t_quantile(0.975, n - 1) / float(ndtri(0.975))
    return percentiles(over_images + wider * (over_both - over_images))


@lru_cache(maxsize=64)
def _seed_choices(seeds: int, draws: int) -> NDArray[np.int64]:
    """(B, S) the seeds of each resample, the same for every table of that size."""
    return np.random.default_rng(1).integers(seeds, size=(draws, seeds))


def percentiles(draws: Draws) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of (B,) values without those that are NaN; NaN where all are."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def resample(answered: Mapping[str, Answered], stream: int) -> dict[str, Draws]:
    """(B,) percent by name, every name over the same resampled images.

    Args:
        answered: what each image adds, by name; all of one kind.
        stream: which random numbers; resamples of one stream and n draw the same images.
    """
    first = next(iter(answered.values()))
    n = len(first)
    portions: Iterable[NDArray[Any]] = _kept_counts(n, stream) if n <= KEPT else _counts(n, stream)
    if first.ndim > 1:
        draws = [{name: mean_iou_draws(c, counts) for name, c in answered.items()} for counts in portions]
        return {name: np.concatenate([part[name] for part in draws]) for name in answered}
    # Sums of counts up to n are exact in single precision, and half the work.
    right = np.stack([c.astype(np.float32 if n <= KEPT else np.float64) for c in answered.values()], axis=1)
    accuracy = 100.0 * np.concatenate([counts @ right for counts in portions]).astype(np.float64) / n
    return {name: accuracy[:, i] for i, name in enumerate(answered)}


def value_of(answered: Answered) -> float:
    """The percentage that the images give together."""
    return mean_iou(answered.sum(0)) if answered.ndim > 1 else 100.0 * float(answered.mean())


def _counts(n: int, stream: int) -> Iterator[NDArray[np.int64]]:
    """How often each of ``n`` images is drawn, (B / 10, n) ten times: all at once may need gigabytes."""
    rng = np.random.default_rng(stream)
    for _ in range(10):
        yield rng.multinomial(n, np.full(n, 1 / n), DRAWS // 10)


@lru_cache(maxsize=8)  # every row of a table is judged on the same few test splits
def _kept_counts(n: int, stream: int) -> tuple[NDArray[np.float32], ...]:
    return tuple(counts.astype(np.float32) for counts in _counts(n, stream))


class McNemar(NamedTuple):
    """Counts of images that one predictor alone gets right, and the p-value of the test."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Right, second: Right, alternative: Literal["two-sided", "greater"] = "two-sided") -> McNemar:
    """McNemar's test of two predictors on the same images, exact.

    Under the null, each image that one alone gets right is as likely to be either's.

    Args:
        first, second: (n,) whether each image was right.
        alternative: ``greater`` asks whether ``first`` is better.

    Raises:
        ValueError: the two have different lengths.
    """
    from scipy.stats import binomtest

    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape}: not the same images")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    p = float(binomtest(b, b + c, 0.5, alternative).pvalue) if b + c else 1.0
    return McNemar(b, c, p)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for a whole table by Holm's step-down, in the order of ``p`` (Holm, 1979).

    Reject what is at or below a level: the chance of any wrong rejection in the table is at most that level, however
    the tests depend on each other.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = [0.0] * len(p)
    reached = 0.0
    for place, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = reached
    return adjusted


def p_of_interval(difference: float, arm: float, df: int | None = None) -> float:
    """Two-sided p-value of a difference whose 95 % interval is ``difference ± arm``.

    Args:
        difference: any unit.
        arm: half-width, in the same unit.
        df: degrees of freedom of the Student's t behind ``arm``; None: the normal.
    """
    if arm <= 0:
        return 1.0 if difference == 0 else 0.0
    if df is None:
        return float(2 * ndtr(-abs(difference) / arm * ndtri(0.975)))
    return float(2 * stdtr(df, -abs(difference) / arm * stdtrit(df, 0.975)))


def image_variance(value: float, n: int) -> float:
    """The variance of ``value`` percent over ``n`` independent images, squared points; never 0.

    A mean IoU is taken as if each image were right or wrong: mostly too wide, and too narrow where a class is on few
    images. The share counts one right and one wrong image more (Agresti and Coull's idea), so that 0 and 100 % are not
    certain.
    """
    share = (min(max(value, 0.0), 100.0) / 100 * n + 1) / (n + 2)
    return 1e4 * share * (1 - share) / n


def minimal_effect(
    n: int, seeds: int, value: float, seed_deviation: float | None = None, level: float = 0.05, power: float = 0.8
) -> float:
    """The least true difference between two rows that a design finds with chance ``power``, points.

    Seeds vary at least as much as independent images would. With one seed the images alone count, and the answer
    speaks of these seeds only.

    Args:
        n: test images.
        seeds: of each row.
        value: percent, where the accuracies lie.
        seed_deviation: points, standard deviation of a row's per-seed values; None where unknown.
        level: of the two-sided test.
        power: chance of finding the effect.
    """
    variance = max(image_variance(value, n), (seed_deviation or 0.0) ** 2)
    df = 2 * (seeds - 1) if seeds > 1 else 10**6
    return (t_quantile(1 - level / 2, df) + t_quantile(power, df)) * math.sqrt(2 * variance / seeds)


def ranks(values: Sequence[float], differences: Mapping[tuple[int, int], tuple[float, float]]) -> list[tuple[int, int]]:
    """(best, worst) rank of each row; 1 is the highest value. Rows that noise cannot separate share a range.

    Args:
        values: one a row; they decide pairs without an interval.
        differences: for (i, j) with i < j, the interval of ``values[i] - values[j]``; 0 inside is a tie.
    """

    def above(i: int, j: int) -> bool:
        """Whether row ``i`` certainly stands above row ``j``."""
        if (min(i, j), max(i, j)) not in differences:
            return values[i] > values[j]
        low, high = differences[min(i, j), max(i, j)]
        return low > 0 if i < j else high < 0

    n = len(values)
    return [
        (
            1 + sum(above(j, i) for j in range(n) if j != i),
            n - sum(above(i, j) for j in range(n) if j != i),
        )
        for i in range(n)
    ]
