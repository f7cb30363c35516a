"""Statistics that every table, gate and claim shares: one home for each rule, pure functions, no records.

Law 8: below `NESTED_FROM` seeds a t interval over per-seed means; from there on a nested bootstrap over seeds and the
images within each. Accuracies are percent, rates fractions, levels and p-values in (0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from bench.metrics import wilson as wilson  # one home for the rule; tables and gate find it here

NESTED_FROM = 5
"""Number of seeds from which seeds are resampled; below it a bootstrap over so few would be far too narrow."""

DRAWS = 2000

Draws = NDArray[np.float64]
Right = NDArray[np.bool_]


def t_quantile(chance: float, df: int) -> float:
    """The ``chance`` quantile of Student's t with ``df`` degrees of freedom."""
    return float(stdtrit(df, chance))


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The t interval of the mean of at least 2 values.

    Raises:
        ValueError: fewer than 2 values.
    """
    n = len(values)
    if n < 2:
        raise ValueError("a t interval needs at least 2 values")
    mean = float(np.mean(values))
    arm = t_quantile((1 + level) / 2, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean - arm, mean + arm


def nested(draws: Sequence[Draws]) -> tuple[float, float]:
    """95 % interval of the mean over seeds, seeds and images resampled.

    All seeds are judged on the same test images, so a draw of images is one for all of them: images do not average out
    over seeds. A plain bootstrap over S seeds is too narrow, by √((S − 1)/S) and by the normal's tails; what is drawn
    around the mean is widened by √(S/(S − 1)) · t(S − 1)/z, which makes it the t interval where images do not matter.

    Args:
        draws: one (B,) array a seed, its value over resampled images; the b-th of each is of the same images.
    """
    table = np.stack(draws)
    n = len(table)
    over_images = table.mean(axis=0)
    drawn = table[_seeds_drawn(n, table.shape[1]), np.arange(table.shape[1])[:, None]].mean(axis=1)
    wider = math.sqrt(n / (n - 1)) * t_quantile(0.975, n - 1) / float(ndtri(0.975))
    return percentiles(over_images + wider * (drawn - over_images))


@lru_cache(maxsize=64)
def _seeds_drawn(seeds: int, draws: int) -> NDArray[np.int64]:
    """Which seeds each draw takes: (B, S), the same for every table of that size."""
    return np.random.default_rng(1).integers(seeds, size=(draws, seeds))


def percentiles(draws: Draws) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of (B,) values, undefined ones left out."""
    ordered = np.sort(draws)  # undefined ones go to the end
    last = len(ordered) - int(np.isnan(ordered).sum()) - 1
    if last < 0:
        return float("nan"), float("nan")
    # As np.percentile does, which takes several times as long over so few values.
    low, high = np.interp([0.025 * last, 0.975 * last], np.arange(last + 1), ordered[: last + 1])
    return float(low), float(high)


def resample(correct: Mapping[str, Right], rng: np.random.Generator) -> dict[str, Draws]:
    """(B,) percent by name, every name over the same resampled images; ``correct`` holds (n,) a name."""
    n = len(next(iter(correct.values())))
    right = np.stack([c.astype(np.float64) for c in correct.values()], axis=1)
    # In portions, so that large test splits do not need gigabytes of counts.
    portions = [rng.multinomial(n, np.full(n, 1 / n), DRAWS // 10) @ right for _ in range(10)]
    accuracy = 100.0 * np.concatenate(portions) / n
    return {name: accuracy[:, i] for i, name in enumerate(correct)}


class McNemar(NamedTuple):
    """``only_first`` and ``only_second``: images that one predictor alone gets right; ``p`` of the test."""

    only_first: int
    only_second: int
    p: float


def mcnemar(
    first: Right, second: Right, alternative: Literal["two-sided", "greater"] = "two-sided", mid: bool = False
) -> McNemar:
    """McNemar's test of two predictors on the same images, exact.

    Under the null, each image that one alone gets right is as likely to be either's.

    Args:
        first, second: (n,) whether each image was right.
        alternative: ``greater`` asks whether ``first`` is better.
        mid: count the outcome seen by half (mid-p): closer to the stated level, and no longer a guarantee
            (Fagerland, Lydersen and Laake, 2013).

    Raises:
        ValueError: other images.
    """
    from scipy.stats import binom  # here, since tables need not wait for all of scipy.stats

    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape}: not the same images")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    n = b + c
    if n == 0:
        return McNemar(0, 0, 1.0)
    if alternative == "greater":
        p = float(binom.sf(b - 1, n, 0.5)) - (0.5 * float(binom.pmf(b, n, 0.5)) if mid else 0.0)
        return McNemar(b, c, p)
    tail = float(binom.cdf(min(b, c), n, 0.5)) - (0.5 * float(binom.pmf(min(b, c), n, 0.5)) if mid else 0.0)
    return McNemar(b, c, min(1.0, 2 * tail))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for a whole table by Holm's step-down, in the order given.

    Rejecting what is at or below a level errs anywhere in the table with at most that chance, however the tests
    depend on each other (Holm, 1979).
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
        df: degrees of freedom of Student's t that ``arm`` was made with; without them it is the normal's.
    """
    if arm <= 0:
        return 1.0 if difference == 0 else 0.0
    if df is None:
        return float(2 * ndtr(-abs(difference) / arm * ndtri(0.975)))
    return float(2 * stdtr(df, -abs(difference) / arm * stdtrit(df, 0.975)))


def image_variance(value: float, n: int) -> float:
    """Squared points: the variance of ``value`` percent over ``n`` independent images, never 0.

    The share is taken from one right and one wrong image more (Agresti and Coull's idea), so that 0 and 100 % are not
    called certain.
    """
    share = (min(max(value, 0.0), 100.0) / 100 * n + 1) / (n + 2)
    return 1e4 * share * (1 - share) / n


def minimal_effect(
    n: int, seeds: int, value: float, seed_deviation: float | None = None, level: float = 0.05, power: float = 0.8
) -> float:
    """Points: the least true difference between two rows that a design would find with chance ``power``.

    Both rows have ``seeds`` seeds and ``n`` images near ``value`` percent. Seeds vary at least as much as independent
    images would; with one seed the images alone are counted, and the answer speaks of these seeds only.

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
    """(best, worst) rank of each row, 1 is the highest value; rows that noise cannot tell apart share a range.

    Args:
        values: one a row; used for pairs without an interval, which are told apart by their values.
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
