"""The hot paths of tables and store, as ratios within one run, so that a slow machine does not alarm.

Run with ``pytest tests/benchmarks/test_bench_tables.py --benchmark-only``; ratios are in ``extra_info``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from example_records import record
from stopwatch import seconds

from bench.records import Record
from bench.store import Store
from reports.rows.aggregate import rows

RECORDS, SEEDS, IMAGES = 10_000, 5, 400


@pytest.fixture(scope="module")
def many() -> list[Record]:
    """2,000 rows of 5 seeds with their controls."""
    out: list[Record] = []
    rng = np.random.default_rng(0)
    for i in range(RECORDS // SEEDS - 4):
        for seed in range(SEEDS):
            rp = 100 * int(rng.integers(80, 360)) / IMAGES  # accuracies are counts
            out.append(record("modellock", "prompt-search", seed, lock_explicit={"alpha": i / 10_000}, RP=rp))
    for lock, attack in (
        ("destroyed", "prompt-search"),
        ("permuted-logits", "logit-surgery"),
        ("none", "from-scratch"),
    ):
        out += [record(lock, attack, seed, RP=30.0) for seed in range(SEEDS)]
    for i, result in enumerate(out):
        result.provenance.hash = f"{i:020x}"
    return out


@pytest.fixture(scope="module")
def store(many: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Store:
    result = Store(tmp_path_factory.mktemp("many") / "s")
    for i, match in enumerate(many):  # put() would fsync nothing but take file locks: this is as fast as writing gets
        folder = result.root / "records" / f"{i:020x}"
        folder.mkdir()
        (folder / "record.json").write_text(match.model_dump_json(indent=1) + "\n")
    return result


def _plain(store: Store) -> list[Any]:
    """Reading the same files as JSON and nothing more."""
    return [json.loads(file.read_text()) for file in (store.root / "records").glob("*/record.json")]


def test_a_store_with_ten_thousand_records(benchmark: Any, store: Store) -> None:
    plain = seconds(lambda: _plain(store), 1)
    match = benchmark.pedantic(store.records, rounds=2, warmup_rounds=0)
    assert len(match) == len(list((store.root / "records").iterdir()))
    benchmark.extra_info |= {
        "plain_json_seconds": round(plain, 2),
        "records_over_plain_json": round(benchmark.stats.stats.min / plain, 2),
    }


def test_a_leaderboard_over_ten_thousand_records(benchmark: Any, many: list[Record]) -> None:
    """Target: 2 seconds; the ratio is to a loop that only reads the numbers."""

    def read() -> float:
        return sum(getattr(r, n).value for r in many for n in ("UP", "LP", "RP", "oracle") for _ in range(20))

    plain = seconds(read)
    table = benchmark.pedantic(lambda: rows(many), rounds=2, warmup_rounds=0)
    assert len(table) == len(many) // SEEDS
    benchmark.extra_info |= {
        "seconds": round(benchmark.stats.stats.min, 2),
        "over_reading": round(benchmark.stats.stats.min / plain, 2),
    }
