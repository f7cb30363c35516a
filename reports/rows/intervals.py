"""Means with intervals that name their source. All are 95 %; the rules are in `reports.rows.statistics`.

| seeds | interval |
|---|---|
| 1 | over images, named "images, these seeds only" |
| 2 to 4 | t over per-seed means; the one over images stands apart, and verdicts join both |
| 5 and more | nested bootstrap over seeds and the images that they share |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, ndtri

from bench.records import Measured, Metric
from reports.rows.statistics import DRAWS, NESTED_FROM, Answered, Draws, nested, percentiles, resample, t_interval

T = "t over seeds"
IMAGES = "images, these seeds only"
NESTED = "nested bootstrap over seeds and images"

Statistic = Callable[[Mapping[str, Draws]], Draws]
"""From accuracies by name, each (B,) percent, to (B,) values of what is derived from them."""


Correct = Mapping[str, Answered]
"""What each image of one test set adds to the number of each predictor, by its name."""


@dataclass(frozen=True)
class Value:
    """A number over the seeds of a row.

    Args:
        mean: over the seeds that have it; percent, or a fraction for recovery.
        per_seed: one for each seed of the row, in its order; None where not measured.
        low, high: ends of the 95 % interval, None where there is none.
        kind: `T`, `IMAGES` or `NESTED`; None without an interval.
        images: the interval over images for these very seeds, where it is not the headline itself.
    """

    mean: float
    per_seed: tuple[float | None, ...]
    low: float | None = None
    high: float | None = None
    kind: str | None = None
    images: tuple[float, float] | None = None

    @property
    def n_seeds(self) -> int:
        """Seeds that have a value."""
        return sum(v is not None for v in self.per_seed)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The ends of the interval that decides.

        The t interval of 2 to 4 seeds varies the seeds alone, and other images would move the number too. So each arm
        is joined with that over images, √(a² + b²). Seeds that agree to the last image have the one over images.
        """
        if self.low is None or self.high is None:
            return None
        if self.kind != T or self.images is None or not all(map(math.isfinite, self.images)):
            return self.low, self.high
        below, above = self.images[0] - self.mean, self.images[1] - self.mean
        low, high = min(below, 0.0), max(above, 0.0)
        return self.mean - math.hypot(self.mean - self.low, low), self.mean + math.hypot(self.high - self.mean, high)

    @property
    def half(self) -> float | None:
        """The longer arm of the interval, so that ``mean ± half`` never claims more than the interval does."""
        if self.low is None or self.high is None:
            return None
        return max(self.high - self.mean, self.mean - self.low)


def constant(values: Sequence[float | None]) -> Value | None:
    """A quantity without error, such as the floor: no interval; None where no seed has it."""
    known = [v for v in values if v is not None]
    return Value(float(np.mean(known)), tuple(values)) if known else None


def of_measured(measured: Sequence[Measured | None], floors: Sequence[float | None] | None = None) -> Value | None:
    """The mean of one accuracy a seed; None where no seed has it.

    Args:
        measured: one for each seed, None where not measured.
        floors: percent for each seed, a constant below which the value cannot fall (the public baseline's).
    """
    # The rows of one lock share its UP, LP and controls: their bootstraps are done once.
    parts = tuple(None if m is None else (m.value, m.n, m.low, m.high, m.metric) for m in measured)
    return _of_parts(parts, (None,) * len(parts) if floors is None else tuple(floors))


_Part = tuple[float, int, float | None, float | None, Metric]


@lru_cache(maxsize=65_536)
def _of_parts(parts: tuple[_Part | None, ...], bounds: tuple[float | None, ...]) -> Value | None:
    measured = [None if p is None else Measured(value=p[0], n=p[1], low=p[2], high=p[3], metric=p[4]) for p in parts]
    lifted = [None if m is None else _lift(m, f) for m, f in zip(measured, bounds, strict=True)]
    known = [m for m in lifted if m is not None]
    if not known:
        return None
    per_seed = tuple(None if m is None else m.value for m in lifted)
    values = [m.value for m in known]
    mean = float(np.mean(values))
    images = None
    if all(m.low is not None and m.high is not None for m in known):
        # The seeds share their test images: ends are averaged as if fully dependent, which is never too narrow.
        images = (float(np.mean([m.low for m in known])), float(np.mean([m.high for m in known])))
    if len(known) == 1:
        return Value(mean, per_seed, *images, IMAGES) if images else Value(mean, per_seed)
    if len(known) < NESTED_FROM:
        return Value(mean, per_seed, *t_interval(values), T, images)
    raised = [(m, f) for m, f in zip(measured, bounds, strict=True) if m is not None]
    draws = [np.maximum(binomial(m, 0), -np.inf if f is None else f) for m, f in raised]
    return Value(mean, per_seed, *nested(draws), NESTED, images)


def _lift(m: Measured, floor: float | None) -> Measured:
    if floor is None or m.value >= floor:
        low = m.low if m.low is None or floor is None else max(m.low, floor)
        return m.model_copy(update={"low": low})
    high = None if m.high is None else max(m.high, floor)
    return Measured(value=floor, n=m.n, low=floor, high=high, metric=m.metric)


def of_derived(
    values: Sequence[float | None],
    statistic: Statistic,
    measured: Sequence[Mapping[str, Measured]],
    correct: Sequence[Correct | tuple[Correct, ...] | None],
) -> Value | None:
    """The mean of a quantity derived from several accuracies; None unless every seed has it.

    Args:
        values: one for each seed.
        statistic: the same quantity from resampled accuracies.
        measured: for each seed, the accuracies that ``statistic`` reads, by name.
        correct: for each seed what each test image adds, by name. Images have one order, so that resampling is
            paired. Where there are two test sets, one for each; None without such evidence.
    """
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return None
    mean, per_seed = float(np.mean(known)), tuple(values)
    complete = all(c is not None for c in correct)
    draws: list[Draws] = []
    if complete or len(known) >= NESTED_FROM:
        # One generator seed for all: replicates judged on the same test images are resampled together.
        draws = [
            statistic(_resampled(c) if c is not None else {x: binomial(m[x], j) for j, x in enumerate(m)})
            for m, c in zip(measured, correct, strict=True)
        ]
    images = percentiles(np.mean(draws, axis=0)) if complete else None
    if len(known) == 1:
        return Value(mean, per_seed, *images, IMAGES) if images else Value(mean, per_seed)
    if len(known) < NESTED_FROM:
        return Value(mean, per_seed, *t_interval(known), T, images)
    return Value(mean, per_seed, *nested(draws), NESTED, images)


def _resampled(correct: Correct | tuple[Correct, ...]) -> dict[str, Draws]:
    """(B,) accuracies by name over resampled images; those of one test set share their images."""
    sides = correct if isinstance(correct, tuple) else (correct,)
    accuracies: dict[str, Draws] = {}
    for i, side in enumerate(sides):
        accuracies |= resample(side, i)
    return accuracies


def binomial(measured: Measured, stream: int) -> Draws:
    """(B,) percent: ``n`` images drawn again and again, each right with the measured probability.

    A mean IoU is no share of images: its draws are normal, with the width of its interval over images.

    Args:
        measured: the accuracy or mean IoU, and n.
        stream: which random numbers. Those of two streams are independent. Within one stream draws rise and fall
            together, as the accuracies of several seeds do over the same test images.
    """
    if measured.metric == "mIoU" and measured.low is not None and measured.high is not None:
        deviation = (measured.high - measured.low) / (2 * float(ndtri(0.975)))
        normal = ndtri(np.random.default_rng(stream).random(DRAWS))
        return np.clip(measured.value + deviation * normal, 0, 100)
    return _binomial(min(max(measured.value / 100, 0.0), 1.0), measured.n, stream)


@lru_cache(maxsize=4096)  # accuracies are counts of one test set: few values come up again and again
def _binomial(chance: float, n: int, stream: int) -> Draws:
    uniform = np.random.default_rng(stream).random(DRAWS)
    # As scipy.stats.binom.ppf, in a tenth of its time.
    draws = 100.0 * np.searchsorted(bdtr(np.arange(n), n, chance), uniform) / n
    draws.setflags(write=False)
    return draws
