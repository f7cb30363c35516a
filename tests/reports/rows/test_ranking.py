"""Ranks: only what noise cannot explain is an order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_records import baselines, calibration, record, the_row, world

from reports.rows.aggregate import rows
from reports.rows.intervals import NESTED, T, Value
from reports.rows.ranking import places, ranges, unplaced, unshared
from reports.rows.row import EnsembleCase, Row
from reports.rows.statistics import t_interval
from reports.text.captions import captions, grouped


def over_seeds(*seeds: float, images: float = 5.0) -> Value:
    mean = sum(seeds) / len(seeds)
    return Value(mean, seeds, *t_interval(seeds), T, (mean - images, mean + images))


def test_the_lock_with_the_least_advantage_is_first() -> None:
    assert ranges([over_seeds(40.0, 41.0, 42.0), over_seeds(10.0, 11.0, 12.0)]) == [(2, 2), (1, 1)]
    assert ranges([over_seeds(10.0, 20.0, 30.0), over_seeds(15.0, 25.0, 35.0)]) == [(1, 2), (1, 2)]


def test_rounding_is_no_difference_between_seeds() -> None:
    assert ranges([over_seeds(5.5555, 5.5555, 5.5556), over_seeds(6.3888, 6.3889, 6.3889)]) == [(1, 2), (1, 2)]


@pytest.mark.parametrize(("apart", "expected"), [(0.25, [(1, 2), (1, 2)]), (60.0, [(1, 1), (2, 2)])])
def test_seeds_that_agree_to_the_last_image_are_not_certain(apart: float, expected: list[tuple[int, int]]) -> None:
    assert ranges([over_seeds(*[20.0] * 3), over_seeds(*[20.0 + apart] * 3)]) == expected


class TestPlaces:
    """Which row stands for a lock, and what a place does not say."""

    def test_a_worst_case_without_interval_has_no_place(self) -> None:
        """A lesser row must not stand for the lock instead."""
        table = rows([
            *(record("ntl", "benign", i, RP=31.0) for i in range(2)), record("ntl", "finetune", RP=85.0),
            *(record("map", "benign", i, RP=50.0 + i) for i in range(2)),
            *(record("cuti", "benign", i, RP=45.0 + i) for i in range(2)),
            *calibration(), *baselines(30.0, 30.0),
        ])  # fmt: skip
        methods = [row for row in table if row.role == "method"]
        assert {row.lock_name for row, _ in places(methods)} == {"map", "cuti"}
        assert [row.attack_name for row in unplaced(methods)] == ["finetune"]

    def test_attacks_that_some_locks_were_spared_are_named(self) -> None:
        table = rows([
            *(record(lock, "benign", i, RP=31.0 + i) for lock in ("ntl", "map") for i in range(2)),
            *(record("map", "finetune", i, RP=80.0 + i) for i in range(2)), *calibration(), *baselines(30.0, 30.0),
        ])  # fmt: skip
        methods = [row for row in table if row.role == "method"]
        assert unshared(methods, [row for row, _ in places(methods)]) == ["finetune"]
        assert "Not every lock met finetune." in "\n".join(captions(grouped(table)[0]))

    def test_a_member_of_an_ensemble_that_one_lock_was_spared_is_named(self) -> None:
        def standing(lock: str, missing: tuple[str, ...]) -> Row:
            base = the_row(world((80.0, 81.0), (30.0, 30.0)))
            case = EnsembleCase(5, "weights-unlabelled", {0: "tent"}, {0: 1.0}, missing, 3)
            return replace(base, lock=lock, lock_name=lock, attack="ensemble", ensemble=case)

        pair = [standing("ntl", ("compose", "tent")), standing("map", ("tent",))]
        assert unshared(pair, pair) == ["compose"]
        assert unshared(pair[:1] * 2, pair[:1]) == []


def test_a_verdict_joins_seeds_and_images() -> None:
    assert over_seeds(10.0, 10.0, 10.0, images=5.0).bounds == (5.0, 15.0)
    joined = Value(10.0, (9.0, 11.0), 7.0, 13.0, T, (6.0, 14.0))
    assert joined.bounds == (5.0, 15.0)
    assert Value(10.0, (9.0, 11.0), 7.0, 13.0, NESTED, (6.0, 14.0)).bounds == (7.0, 13.0)
