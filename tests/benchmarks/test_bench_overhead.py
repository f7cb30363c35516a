"""What the harness costs: a cell against a plain script that trains, edits and scores the same.

Run with ``pytest tests/benchmarks/test_bench_overhead.py --benchmark-only``; the ratio is in ``extra_info``.
Both are whole processes, imports included, one after the other: see `overhead.py`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("overhead.py")


def _seconds(what: str, folder: Path) -> float:
    folder.mkdir()
    start = time.perf_counter()
    subprocess.run([sys.executable, SCRIPT, what, folder], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def test_a_cell_against_a_plain_script(benchmark: Any, tmp_path: Path) -> None:
    plain = _seconds("plain", tmp_path / "plain")
    benchmark.pedantic(_seconds, args=("cell", tmp_path / "cell"), rounds=1, warmup_rounds=0)
    benchmark.extra_info |= {
        "plain_seconds": round(plain, 1),
        "cell_over_plain": round(benchmark.stats.stats.min / plain, 3),
    }
