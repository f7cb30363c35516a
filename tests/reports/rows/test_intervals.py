"""A public baseline under the floor counts as the floor, and stays as uncertain as it was."""

from __future__ import annotations

from bench.records import Measured
from reports.rows.intervals import of_measured


def test_the_upper_end_of_a_lifted_baseline_stays() -> None:
    under = Measured(value=9.0, n=400, low=6.6, high=12.2)
    one = of_measured([under], [10.0])
    assert one is not None
    assert (one.mean, one.bounds) == (10.0, (10.0, 12.2))
    far = Measured(value=2.0, n=400, low=1.0, high=4.0)
    other = of_measured([far], [10.0])
    assert other is not None
    assert other.bounds == (10.0, 10.0)
