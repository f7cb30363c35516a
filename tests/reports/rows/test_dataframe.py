"""Records as a DataFrame, and that importing bench needs neither pandas nor torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_worlds import World

import bench
from bench.errors import UserError
from bench.store import Store


def test_a_line_a_record(tmp_path: Path) -> None:
    store, world = Store(tmp_path / "s"), World((0, 1), 1)
    for record in world.records:
        store.put(record, {})
    frame = bench.load_records(tmp_path / "s")
    assert len(frame) == len(world.records)
    line = frame[(frame.lock == "modellock") & (frame.attack == "prompt-search") & (frame.replicate == 1)].iloc[0]
    (source,) = [r for r in world.records if r.hash == line["hash"]]
    assert source.RP is not None
    assert (line.RP, line.RP_n, line.RP_low) == (source.RP.value, source.RP.n, source.RP.low)
    assert line["threat.share"] == 0.01
    assert line["budget.guesses"] == 64
    assert np.isnan(frame["RP_validation"].astype(float)).all()


def test_errors_speak(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no store"):
        bench.load_records(tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'load_record'"):
        _ = bench.load_record


def test_import_bench_is_light() -> None:
    code = "import sys, bench; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'reports')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
