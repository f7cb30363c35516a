"""A world whose true accuracies are known: seeds differ, and all answer the same test images.

| part | how it is drawn |
|---|---|
| true accuracy of a seed | Beta with the mean and standard deviation of the population of seeds |
| difficulty of an image | standard normal, the same for every seed and every predictor |
| answer | right where √ρ · difficulty + √(1 − ρ) · chance lies under the normal quantile of the true accuracy |

So an image that one model gets wrong is likely to be wrong in the next too, as with trained models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import beta

QUANTILES = 4000
"""Seeds that stand for the whole population of them."""
GRID = np.linspace(-6, 6, 241)
"""Difficulties at which the population's chance of a right answer is computed; between them it is interpolated."""

Floats = NDArray[np.float64]
Right = NDArray[np.bool_]
"""(replicates, seeds, images) whether the answer was right."""


@dataclass(frozen=True)
class Population:
    """Seeds of one predictor.

    Args:
        mean: of the true accuracies over seeds, percent.
        spread: their standard deviation, points; 0: all seeds are alike.
    """

    mean: float
    spread: float

    def draw(self, rng: np.random.Generator, *shape: int) -> Floats:
        """True accuracies, fractions, of that shape."""
        if self.spread == 0:
            return np.full(shape, self.mean / 100)
        return rng.beta(*self._shapes, shape)

    @property
    def quantiles(self) -> Floats:
        """(QUANTILES,) true accuracies that stand for the population, fractions."""
        if self.spread == 0:
            return np.array([self.mean / 100])
        return beta.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES, *self._shapes)

    @property
    def _shapes(self) -> tuple[float, float]:
        mean, deviation = self.mean / 100, self.spread / 100
        size = mean * (1 - mean) / deviation**2 - 1
        if size <= 0:
            raise ValueError(f"accuracies around {self.mean} % cannot spread by {self.spread} points")
        return mean * size, (1 - mean) * size


@dataclass(frozen=True)
class World:
    """Test images and what all predictors share.

    Args:
        images: n of the test split.
        seeds: of a row.
        shared: ρ, the part of an answer's variance that is the image's own, in [0, 1).
    """

    images: int
    seeds: int
    shared: float = 0.5

    def difficulties(self, rng: np.random.Generator, replicates: int) -> Floats:
        """(replicates, images) of test splits."""
        return rng.standard_normal((replicates, self.images))

    def answers(self, rng: np.random.Generator, true: Floats, difficulty: Floats) -> Right:
        """(replicates, seeds, images) whether each answer is right.

        Args:
            true: (replicates, seeds) true accuracies, fractions.
            difficulty: (replicates, images).
        """
        chance = rng.standard_normal((*true.shape, self.images))
        latent = np.sqrt(self.shared) * difficulty[:, None] + np.sqrt(1 - self.shared) * chance
        return latent < ndtri(true)[:, :, None]

    def on_these_images(self, population: Population, difficulty: Floats) -> Floats:
        """(replicates,) percent: what seeds without end would reach on these very images, in the mean."""
        return 100 * np.interp(difficulty, GRID, _chances(population, self.shared)).mean(axis=1)


@lru_cache(maxsize=64)
def _chances(population: Population, shared: float) -> Floats:
    """For each difficulty of `GRID`, the chance of a right answer over the population of seeds."""
    threshold = ndtri(population.quantiles)
    return ndtr((threshold[None] - np.sqrt(shared) * GRID[:, None]) / np.sqrt(1 - shared)).mean(axis=1)
