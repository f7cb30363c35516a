"""Small cells on one GPU, one at a time and several at once: the command line as it is, each time in an empty store.

Run by `gpu.sh`; by itself: ``python tests/benchmarks/gpu_cells.py [--size small] --out DIR``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_lines import Lines, arguments

from bench.store import Store


def main() -> None:
    """Measure, the most cells at once first: it takes the least time."""
    full, out, device = arguments(__doc__ or "")
    lines = Lines(out / "cells.jsonl", device)
    cells = 16 if full else 1
    which = ["--task", "digits", "--model", "cnn"]
    if not full:
        few = str(Path(__file__).with_name("few_steps.py"))
        which = ["--task", "digits:digits-m", "--model", "few-steps", "--plugin", few]
    for jobs in (16, 4, 1) if full else (1,):
        with tempfile.TemporaryDirectory() as store:
            command = [
                *(sys.executable, "-m", "bench.cli", "run", "--lock", "none", "--attack", "benign"),
                *which,
                *("--seeds", str(cells), "--entropy", "plan"),
                *("--device", device, "--jobs", str(jobs), "--threads", "1", "--store", store),
            ]
            start = time.perf_counter()
            ended = subprocess.run(command, check=False, capture_output=True, text=True)
            took = time.perf_counter() - start
            records = Store(Path(store), write=False).records()
        if ended.returncode:
            print(ended.stdout[-2000:], ended.stderr[-2000:], file=sys.stderr)
        done = sum(record.status != "failed" for record in records)
        lines.add("cells", jobs=jobs, cells=len(records), done=done, seconds=took, exit=ended.returncode)


if __name__ == "__main__":
    main()
