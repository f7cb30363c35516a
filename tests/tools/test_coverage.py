"""The simulated world has the truths it claims, and coverage is counted against them."""

from __future__ import annotations

import numpy as np
import pytest

from reports.rows.intervals import IMAGES, T, Value
from tools.coverage.__main__ import report
from tools.coverage.trials import Hits, advantage, performance, sound_ranks
from tools.coverage.world import Population, World


@pytest.mark.parametrize(("mean", "spread"), [(10.0, 1.0), (50.0, 15.0), (95.0, 5.0)])
def test_seeds_have_the_mean_and_the_spread_of_their_population(mean: float, spread: float) -> None:
    true = 100 * Population(mean, spread).draw(np.random.default_rng(0), 100_000)
    assert true.mean() == pytest.approx(mean, abs=0.2)
    assert true.std() == pytest.approx(spread, rel=0.03)
    assert 100 * Population(mean, spread).quantiles.mean() == pytest.approx(mean, abs=0.05)


def test_a_spread_that_no_accuracy_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot spread"):
        Population(95.0, 30.0).draw(np.random.default_rng(0), 1)


def test_answers_have_their_true_accuracy_and_share_their_difficult_images() -> None:
    world, rng = World(images=400, seeds=2, shared=0.5), np.random.default_rng(1)
    difficulty = world.difficulties(rng, 200)
    right = world.answers(rng, np.full((200, 2), 0.5), difficulty)
    assert right.mean() == pytest.approx(0.5, abs=0.01)
    # Two normals with correlation ρ are both under their medians with chance 1/4 + arcsin(ρ) / 2π.
    assert right.all(axis=1).mean() == pytest.approx(0.25 + np.arcsin(0.5) / (2 * np.pi), abs=0.01)


def test_the_truth_on_these_images_is_what_many_seeds_reach_on_them() -> None:
    world, rng, population = World(images=50, seeds=4000), np.random.default_rng(2), Population(60.0, 10.0)
    difficulty = world.difficulties(rng, 1)
    reached = 100 * world.answers(rng, population.draw(rng, 1, 4000), difficulty).mean()
    assert world.on_these_images(population, difficulty)[0] == pytest.approx(reached, abs=0.6)


def test_hits_by_hand() -> None:
    hits = Hits()
    hits.add(Value(50.0, (49.0, 51.0), 47.0, 53.0, T, (46.0, 54.0)), 54.5, 52.0, 45.0)
    # 50 ± √(3² + 4²) = 50 ± 5 holds 54.5; 47 to 53 does not.
    assert (hits.population, hits.these_images, hits.these_seeds, hits.joined) == ([False], [True], [False], [True])
    hits.add(Value(50.0, (50.0,), 47.0, 53.0, IMAGES), 48.0, None, 48.0)
    assert (hits.rate("population"), hits.rate("these_seeds"), len(hits.joined)) == (50.0, 50.0, 1)
    assert np.isnan(Hits().rate("joined"))


def test_one_lock_above_the_other_is_a_sound_order_and_equal_locks_have_none() -> None:
    world, baseline = World(200, 3), Population(40.0, 0.0)
    apart = [Population(20.0, 0.0), Population(80.0, 0.0)]
    assert sound_ranks(world, apart, baseline, 10, 0) == 100.0
    assert sound_ranks(world, [Population(50.0, 1.0)] * 3, baseline, 20, 0) == 100.0


def test_the_report_is_one_table() -> None:
    lines = list(report(2, [50], [50], 0.5))
    assert {line.count("|") for line in lines} == {8}
    counts = [sum(line.startswith(f"| {what}") for line in lines) for what in ("UP", "advantage |", "rec", "ranks")]
    assert counts == [7, 6, 6, 4]
    assert sum(line.startswith("| advantage, hard images of its own |") for line in lines) == 6


def test_three_seeds_cover_these_images_better_than_others() -> None:
    hits = performance(World(200, 3, shared=0.9), Population(50.0, 1.0), 200, 4)
    assert hits.rate("these_images") > hits.rate("population") + 10
    assert hits.rate("joined") >= 93.0


def test_a_verdict_covers_where_other_images_are_hard_for_the_baseline() -> None:
    hits = advantage(World(200, 3, shared=0.9), Population(60.0, 1.0), Population(40.0, 1.0), 100, 5, own_images=True)
    assert hits.rate("population") < 90.0
    assert hits.rate("joined") >= 93.0
