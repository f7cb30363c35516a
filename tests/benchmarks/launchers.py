"""Wall time of the first cells of a suite, with the launcher of this checkout and of another.

Run it as ``python launchers.py OTHER``.

Both run the same cells with ``--jobs 2 --threads 1`` into new stores, one after the other, this one last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
from pathlib import Path
from bench import plan
from bench.api.execution import Execution
from bench.harness.watch import Watch
from bench.store import Store
from bench.store.settings import Settings

suite, cells, root = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
store = Store(root, entropy="plan")
with Execution(plan.build(plan.read_suite(suite))[:cells], Settings(threads=1), store) as execution:
    execution.prepare(2)
    execution.run(Watch(), "benchmark")
records = execution.records()
print(len(records), sum(record.status == "ok" for record in records))
"""


def main() -> None:
    """Run both, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="another checkout of LockBench")
    parser.add_argument("--suite", default="attacks-quick")
    parser.add_argument("--cells", type=int, default=40)
    chosen = parser.parse_args()
    print("| checkout | records | ok | wall seconds |\n|---|--:|--:|--:|")
    for checkout in (chosen.other.resolve(), HERE):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, chosen.suite, str(chosen.cells), f"{folder}/store"],
                env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
                cwd=checkout,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            records, ok = done.stdout.split()[-2:]
            commit = subprocess.run(
                ["git", "rev-parse", "--short", "HEAD"], cwd=checkout, stdout=subprocess.PIPE, text=True, check=True
            )
            seconds = time.perf_counter() - start
            print(f"| {commit.stdout.strip()} | {records} | {ok} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
