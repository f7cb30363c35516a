"""The rerun of a cell, and that one archive does not speak for another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import submissions
from submissions import Entry

from bench import metrics
from bench.records import CurvePoint, Flag, Measured
from reports.board import consistency, rerun
from reports.board import folder as folders
from reports.board import pool as pools


@pytest.fixture
def pair() -> tuple[Any, Any]:
    """One cell, measured twice."""
    return submissions.main_record(), submissions.main_record()


class TestRerun:
    """What a rerun compares beside the numbers of the table, and which cells it may be."""

    def test_the_same_agrees(self, pair: tuple[Any, Any]) -> None:
        assert rerun.compare(*pair, exact=True).ok

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"RP_validation": None}, "RP_validation is there on one side alone"),
            ({"transductive": True}, "whether its predictions depend on the batch"),
            ({"conditions": []}, "its key conditions are others"),
            ({"victim_authorised": submissions.measured(submissions.answers(60, "low"))}, "victim_authorised is 85"),
            ({"meter": {"steps": 3}}, "the attack spends 1 step here, and 3 there"),
            ({"meter": {"steps": 1, "guesses": 7}}, "guesses of the attack are counted on one side alone"),
            ({"lock_meter": {"steps": 0}}, "steps of the lock are counted on one side alone"),
            ({"extra_parameters": -5}, "extra_parameters is another"),
            ({"curve": []}, "its curve has 0 points, and 1 here"),
            ({"key_megabytes": 9.0}, "its key holds None MB here, and 9.0 there"),
            ({"LP_after_batch_norm": 50.0}, "LP after batch norm is there on one side alone"),
            ({"flags": [Flag(name="lp-below-floor", detail="")]}, "its red flags are lp-below-floor, and none here"),
        ],
    )
    def test_what_was_changed_is_named(self, pair: tuple[Any, Any], change: dict[str, Any], words: str) -> None:
        (record, arrays), ours = pair
        found = rerun.compare((record.model_copy(update=change), arrays), ours, exact=True)
        assert not found.ok
        assert words in found.what + " ".join(found.lines)

    def test_a_number_that_chooses_the_worst_is_compared(self, pair: tuple[Any, Any]) -> None:
        (record, arrays), ours = pair
        low = record.model_copy(update={"RP_validation": submissions.measured(submissions.answers(10, "low"))})
        assert not rerun.compare((low, arrays), ours).ok

    def test_key_conditions_are_compared_by_their_numbers(self, pair: tuple[Any, Any]) -> None:
        (record, arrays), ours = pair
        low = submissions.measured(submissions.answers(2, "low"))
        none = record.conditions[1].model_copy(update={"accuracy": low})
        forged = record.model_copy(update={"conditions": [record.conditions[0], none, *record.conditions[2:]]})
        found = rerun.compare((forged, arrays), ours)
        assert "1.7 under the key condition none, and 20.0 here" in found.what

    def test_replies_that_nothing_asked_for_exempt_no_cell(self, pair: tuple[Any, Any]) -> None:
        (record, _), _ = pair
        record.provenance.replies = {"unlocked": [{}]}
        assert rerun.obstacle(record) == ""


def test_one_archive_does_not_rewrite_the_numbers_of_another(tmp_path: Path) -> None:
    """A hash is of what went into a number: two archives may say different numbers under one hash."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("honest", "aaa"):
        shutil.rmtree(submissions.written(folder / f"{name}.zip").with_suffix(".store"))
    forged = folder / "aaa.zip"

    def lower(entries: list[Entry]) -> None:
        for value, arrays in submissions.of(entries, "modellock", "logit-surgery"):
            submissions.restate(value, arrays, "RP", submissions.answers(20, "forged"))

    submissions.rewritten(forged, lower)
    folders.write_sums(folder)
    pool = pools.read(folder, pools.Stores(tmp_path / "stores"))
    row = next(r for r in pool.rows if r.lock_name == "modellock" and r.attack_name == "logit-surgery")
    source = pool.sources[row.row_key, row.status].name
    assert row.mean("RP") == (20.0 if source == "aaa" else 75.0)
    (other,) = pool.others[row.row_key, row.status]
    assert {source, other.name} == {"aaa", "honest"}


class TestTolerance:
    """What an honest record may differ by on another machine."""

    def test_a_curve_may_have_another_length_but_on_one_cpu(self, pair: tuple[Any, Any]) -> None:
        (record, arrays), ours = pair
        longer = record.model_copy(update={"curve": [record.curve[0], *record.curve]})
        assert rerun.compare((longer, arrays), ours).ok
        assert "its curve has 2 points, and 1 here" in rerun.compare((longer, arrays), ours, exact=True).what

    def test_a_budget_of_seconds_buys_other_costs(self, pair: tuple[Any, Any]) -> None:
        (record, arrays), ours = pair
        budget = record.cell.budget.replace(seconds=5.0)
        cell = record.cell.model_copy(update={"budget": budget})
        timed = record.model_copy(update={"cell": cell, "meter": {"steps": 9}})
        assert rerun.compare((timed, arrays), ours).ok


def _problems(**change: Any) -> list[str]:
    record, arrays = submissions.main_record()
    changed = record.model_copy(update={name: value for name, value in change.items() if name != "arrays"})
    return [*consistency._standing(changed), *consistency._validation(changed),
            *consistency._keys(changed, {**arrays, **change.get("arrays", {})})]  # fmt: skip


def test_answers_that_rounding_turns_are_no_contradiction() -> None:
    LP = submissions.main_record()[1]["pred/LP"]
    for turned, problems in ((1, 0), (3, 1)):
        other = LP.copy()
        other[:turned] = (other[:turned] + 1) % submissions.K
        assert len(_problems(arrays={"pred/condition/none": other})) == problems
    batch = [Flag(name="depends-on-batch", detail="")]
    assert not _problems(arrays={"pred/condition/none": (LP + 1) % submissions.K}, flags=batch)


def test_a_submission_on_some_images_is_not_compared_with_all() -> None:
    record, _ = submissions.main_record()
    for n, problems in ((None, 1), (395, 1), (metrics.SOME, 0), (1, 1)):
        curve = [CurvePoint(meter={"steps": 1}, RP=82.5, n=n)]
        changed = record.model_copy(update={"RP": Measured(value=80.0, n=395), "curve": curve})
        assert len(list(consistency._standing(changed))) == problems
