"""Processes that cells run in."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, time
from bench.launchers import processes

def work():
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with processes.workers(1) as pool:
        pool.submit(work).result()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_a_run_that_was_killed_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        assert _runs(worker)
        program.kill()
    patience = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether process ``pid`` is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
