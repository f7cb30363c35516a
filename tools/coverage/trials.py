"""Simulated rows, each through the suite's own interval, and whether that holds the truth. One function a quantity.

`Hits.population` counts other seeds and other images, `Hits.these_images` other seeds on the very test split, and
`Hits.these_seeds` other images under the very seeds, for the interval over images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bench.metrics import image_interval
from bench.records import Measured
from reports.rows.intervals import Value, of_derived, of_measured
from reports.rows.ranking import ranges
from reports.rows.recovery import advantage_of, recovery_of
from reports.rows.statistics import Draws
from tools.coverage.world import Floats, Population, Right, World

FLOOR = 10.0
"""Percent: ten classes of equal size."""
LOCKS = 4
"""Locks of a table of ranks."""
MANY = 100_000
"""Seeds over which the truth of a derived quantity is averaged."""


@dataclass
class Hits:
    """How often an interval held the truth, by what the truth is of; NaN where it is not defined.

    Args:
        population: other seeds, other images.
        these_images: other seeds, the same images.
        these_seeds: the interval over images; other images, the same seeds.
        joined: the interval that verdicts go by: that over seeds and that over images, √(a² + b²) of both arms.
    """

    population: list[bool] = field(default_factory=list)
    these_images: list[bool] = field(default_factory=list)
    these_seeds: list[bool] = field(default_factory=list)
    joined: list[bool] = field(default_factory=list)

    def rate(self, name: str) -> float:
        """Percent of the trials; NaN where the truth is not defined."""
        values = getattr(self, name)
        return 100 * float(np.mean(values)) if values else float("nan")

    def add(self, value: Value, population: float, these_images: float | None, these_seeds: float) -> None:
        """Count one trial's interval against its truths."""
        if value.low is None or value.high is None:
            raise ValueError("a value without an interval")
        self.population.append(value.low <= population <= value.high)
        if these_images is not None:
            self.these_images.append(value.low <= these_images <= value.high)
        images = value.images or (value.low, value.high)
        self.these_seeds.append(images[0] <= these_seeds <= images[1])
        if value.images is not None and value.bounds is not None:
            low, high = value.bounds
            self.joined.append(low <= population <= high)


def performance(world: World, population: Population, replicates: int, seed: int) -> Hits:
    """UP, LP or RP: the mean of one accuracy over seeds."""
    rng = np.random.default_rng(seed)
    difficulty = world.difficulties(rng, replicates)
    true = population.draw(rng, replicates, world.seeds)
    right = world.answers(rng, true, difficulty)
    on_images = world.on_these_images(population, difficulty)
    hits = Hits()
    for i in range(replicates):
        value = of_measured([_measured(one) for one in right[i]])
        if value is not None:
            hits.add(value, population.mean, float(on_images[i]), 100 * float(true[i].mean()))
    return hits


def advantage(
    world: World, rp: Population, baseline: Population, replicates: int, seed: int, own_images: bool = False
) -> Hits:
    """RP minus the public baseline, on the same images.

    Args:
        own_images: whether other images are hard for the baseline than for the attacked model.
    """
    pair = {"RP": rp, "baseline": baseline}
    return _derived(world, pair, lambda x: advantage_of(x, FLOOR), replicates, seed, {"baseline"} if own_images else ())


def recovery(world: World, rp: Population, lp: Population, oracle: Population, replicates: int, seed: int) -> Hits:
    """(RP − b) / (oracle − b) with b = max(LP, floor)."""
    populations = {"RP": rp, "LP": lp, "oracle": oracle}
    return _derived(world, populations, lambda x: recovery_of(x, FLOOR), replicates, seed)


def sound_ranks(world: World, rps: Sequence[Population], baseline: Population, replicates: int, seed: int) -> float:
    """Percent of tables of ranks without a wrong order: each pair that is told apart stands in its true order.

    All locks share seeds, test images and the public baseline. With one seed the true order is that of the very seeds,
    since the interval speaks of them alone. With more it is that of the populations: locks with equal means have none,
    and every order that a table prints is wrong.

    Args:
        rps: RP of each lock.
    """
    rng = np.random.default_rng(seed)
    difficulty = world.difficulties(rng, replicates)
    public = world.answers(rng, baseline.draw(rng, replicates, world.seeds), difficulty)
    true = [rp.draw(rng, replicates, world.seeds) for rp in rps]
    right = [world.answers(rng, one, difficulty) for one in true]
    sound = 0
    for i in range(replicates):
        truth = [rp.mean for rp in rps] if world.seeds > 1 else [float(one[i, 0]) for one in true]
        values = [_value({"RP": one[i], "baseline": public[i]}, lambda x: advantage_of(x, FLOOR)) for one in right]
        places = ranges(values)
        pairs = [(a, b) for a in range(len(places)) for b in range(len(places)) if places[a][1] < places[b][0]]
        sound += all(truth[a] < truth[b] for a, b in pairs)
    return 100 * sound / replicates


def _derived(
    world: World, populations: Mapping[str, Population], statistic: Callable[[Mapping[str, Draws]], Draws],
    replicates: int, seed: int, on_their_own: Collection[str] = (),
) -> Hits:  # fmt: skip
    """Trials of a derived quantity; for predictors ``on_their_own`` other images are hard than for the rest."""
    rng = np.random.default_rng(seed)
    difficulty = world.difficulties(rng, replicates)
    true: dict[str, Floats] = {}
    right: dict[str, Right] = {}
    for name, population in populations.items():
        true[name] = population.draw(rng, replicates, world.seeds)
        hard = world.difficulties(rng, replicates) if name in on_their_own else difficulty
        right[name] = world.answers(rng, true[name], hard)
    many = statistic({name: 100 * p.draw(rng, MANY) for name, p in populations.items()})
    truth = float(np.nanmean(many))
    hits = Hits()
    for i in range(replicates):
        value = _value({name: answers[i] for name, answers in right.items()}, statistic)
        hits.add(value, truth, None, float(np.nanmean(statistic({name: 100 * a[i] for name, a in true.items()}))))
    return hits


def _value(right: Mapping[str, Right], statistic: Callable[[Mapping[str, Draws]], Draws]) -> Value:
    """The suite's value from (seeds, images) answers by name."""
    seeds = len(next(iter(right.values())))
    correct = [{name: answers[s] for name, answers in right.items()} for s in range(seeds)]
    measured = [{name: _measured(one) for name, one in c.items()} for c in correct]
    values = [float(statistic({name: np.array([m.value]) for name, m in known.items()})[0]) for known in measured]
    value = of_derived(values, statistic, measured, correct)
    if value is None:
        raise ValueError("no value")
    return value


def _measured(right: Right) -> Measured:
    hits, n = int(right.sum()), len(right)
    low, high = _image_interval(hits, n)
    return Measured(value=100 * hits / n, n=n, low=low, high=high)


@lru_cache(maxsize=65_536)
def _image_interval(hits: int, n: int) -> tuple[float, float]:
    return image_interval(np.arange(n) < hits)
