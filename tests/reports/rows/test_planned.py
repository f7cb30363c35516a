"""What a suite lacks is asked of reporting seeds: a tuning seed is no gap in a report."""

from __future__ import annotations

from bench import plan
from reports.rows.planned import unmeasured


def test_a_tuning_seed_is_not_lacking() -> None:
    cells = [plan.make_cell("modellock", "none", "digits", "vit", {}, seed) for seed in (0, 1, 1000)]
    assert [row.seeds for row in unmeasured(cells, [])] == [(0, 1)]
