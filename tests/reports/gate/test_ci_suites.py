"""The suites of the gate: one baseline serves both."""

from __future__ import annotations

import runpy

from places import BENCHMARKS

from bench import plan


def test_the_minute_is_part_of_the_whole() -> None:
    whole, minute = (
        {item.cell.row_key() for item in plan.build(plan.read_suite(name)) if item.required}
        for name in ("ci", "ci-minute")
    )
    assert minute < whole


def test_both_run_as_many_seeds_as_the_rule_needs() -> None:
    from reports.gate.rule import CANDIDATE_SEEDS

    for name in ("ci", "ci-minute"):
        assert {len(row.replicates) for row in plan.read_suite(name)} == {CANDIDATE_SEEDS}


def test_every_change_that_the_gate_is_shown_still_fits_the_sources() -> None:
    catches = runpy.run_path(str(BENCHMARKS / "gate_catches.py"), run_name="catches")
    for case in catches["CASES"]:
        if case.file:
            assert (catches["ROOT"] / case.file).read_text().count(case.old) >= 1, case.name
