"""Claims of ownership: the test by hand, and which models of a store it is tried on."""

from __future__ import annotations

import numpy as np
import pytest
from example_records import record

from reports.rows.statistics import mcnemar, wilson
from reports.tools.ownership import Claim, claims, summary


def test_mcnemar_and_the_claim_by_hand() -> None:
    clean = np.array([True] * 9 + [False] * 3)
    keyed = np.array([False] * 7 + [True] * 2 + [True] + [False] * 2)
    b, c, p = mcnemar(clean, keyed, "greater")
    assert (b, c) == (7, 1)
    assert p == pytest.approx((8 + 1) / 2**8)  # 7 or 8 of 8
    assert mcnemar(clean, clean) == (0, 0, 1.0)
    claim = Claim("", 0, clean=90.0, keyed=82.0, p=1e-6)
    assert claim.holds(0.0)
    assert not claim.holds(10.0), "significant, but less than the margin"
    assert wilson(0, 20)[1] == pytest.approx(0.161, abs=1e-3)


def test_which_models_a_claim_is_tested_on() -> None:
    records = []
    for lock, use, replicate in (
        ("ntl", "ownership", 0),
        ("none", "", 0),
        ("none", "", 1),
        ("ntl", "authorisation", 0),
    ):
        one = record(lock, "none", replicate, RP=None, created=f"{lock}{use}")
        one.cell.lock.params = {"use": use} if use else {}
        one.cell.lock.explicit = dict(one.cell.lock.params)
        one.cell.key.name = "patch"
        one.row_key = one.cell.row_key()
        records.append(one)
    labels = np.zeros(200, int)
    marked = {"test_labels": labels, "pred/LP": labels, "pred/UP": np.ones(200, int)}
    plain = {"test_labels": labels, "pred/oracle": labels, "pred/victim_authorised": labels}
    lines = summary(claims(records, lambda r: marked if r.cell.lock.name == "ntl" else plain))
    assert [(row["n"], row["claims/10"]["rate"]) for row in lines] == [(1, 1.0), (2, 0.0)]
    assert lines[0]["models"].startswith("marked by ntl")
