"""Coverage of the intervals that claims rest on, where accuracies have no long tail; rates are in ``extra_info``.

Run with ``pytest tests/benchmarks/test_bench_coverage.py --benchmark-only``. ``python -m tools.coverage`` prints the
whole table, with the cases that fall short.
"""

from __future__ import annotations

from typing import Any

import pytest

from reports.rows.statistics import wilson
from tools.coverage import trials
from tools.coverage.world import Population, World

REPLICATES, LEAST = 400, 0.93


@pytest.mark.parametrize("spread", [1.0, 5.0])
@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_an_advantage(benchmark: Any, seeds: int, spread: float) -> None:
    rp, baseline = Population(60.0, spread), Population(40.0, spread)
    hits = benchmark.pedantic(
        lambda: trials.advantage(World(360, seeds), rp, baseline, REPLICATES, 0), rounds=1, warmup_rounds=0
    )
    rates = {name: hits.rate(name) for name in ("population", "these_seeds")}
    benchmark.extra_info |= rates
    for rate in rates.values():
        assert wilson(round(rate * REPLICATES / 100), REPLICATES)[1] >= LEAST


@pytest.mark.parametrize("spread", [1.0, 5.0])
@pytest.mark.parametrize("seeds", [3, 4])
def test_what_decides_a_verdict_where_other_images_are_hard_for_the_baseline(
    benchmark: Any, seeds: int, spread: float
) -> None:
    rp, baseline, world = Population(60.0, spread), Population(40.0, spread), World(360, seeds, shared=0.9)
    hits = benchmark.pedantic(
        lambda: trials.advantage(world, rp, baseline, REPLICATES, 0, own_images=True), rounds=1, warmup_rounds=0
    )
    benchmark.extra_info |= (rates := {name: hits.rate(name) for name in ("population", "joined")})
    assert wilson(round(rates["joined"] * REPLICATES / 100), REPLICATES)[1] >= LEAST


@pytest.mark.parametrize("seeds", [1, 3, 5, 8])
def test_ranks(benchmark: Any, seeds: int) -> None:
    equal, baseline = [Population(60.0, 5.0)] * trials.LOCKS, Population(40.0, 5.0)
    rate = benchmark.pedantic(
        lambda: trials.sound_ranks(World(360, seeds), equal, baseline, 100, 0), rounds=1, warmup_rounds=0
    )
    benchmark.extra_info["no wrong order"] = rate
    assert wilson(round(rate), 100)[1] >= LEAST
