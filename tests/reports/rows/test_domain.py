"""What a lock does to two domains: hand-computed drops, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from example_records import exactly, record

from bench.records import Record
from reports.rows.domain import drops


def test_drops_of_a_lock_on_two_domains_by_hand() -> None:
    def on_pair(**values: float) -> Record:
        one = record(
            "ntl", "none", scenario="digits:fonts", RP=None, **{"LP": values["LP"], "oracle": values["oracle"]}
        )
        one.cell.key.name = "domain"
        one.victim_authorised, one.UP = exactly(values["victim"]), exactly(values["UP"])
        return one

    derived = drops([on_pair(victim=80, UP=76, oracle=50, LP=20)])
    assert derived is not None
    means = {name: None if value is None else value.mean for name, value in derived.items()}
    assert means == pytest.approx({"source_drop": 4, "target_drop": 60, "st_d": 5 / 60, "both_sides": 78})
    derived = drops([on_pair(victim=80, UP=82, oracle=50, LP=49.8)])
    assert derived is not None
    assert derived["st_d"] is None, "no target drop to speak of: undefined, not huge"
    assert derived["source_drop"] is not None
    assert derived["source_drop"].mean == pytest.approx(-2)
    assert drops([record()]) is None


def test_drops_are_resampled_in_pairs_on_each_side() -> None:
    one = record("ntl", "none", scenario="digits:fonts", RP=None, LP=20.0, oracle=50.0)
    one.cell.key.name = "domain"
    one.victim_authorised, one.UP = exactly(80.0), exactly(76.0)

    def right(n: int, share: float) -> np.ndarray:
        return np.where(np.arange(n) < share * n, 0, 1)

    arrays = {
        "authorised_labels": np.zeros(100, int), "test_labels": np.zeros(400, int),
        "pred/victim_authorised": right(100, 0.8), "pred/UP": right(100, 0.76),
        "pred/oracle": right(400, 0.5), "pred/LP": right(400, 0.2),
    }  # fmt: skip
    derived = drops([one], lambda _: arrays)
    assert derived is not None
    drop = derived["source_drop"]
    assert drop is not None
    # Four of 100 images differ, all one way: unpaired, the interval would be three times as wide.
    assert drop.low == pytest.approx(1, abs=1)
    assert drop.high == pytest.approx(8, abs=1)
    without = drops([one])
    assert without is not None
    assert without["source_drop"].low is None  # type: ignore[union-attr]
