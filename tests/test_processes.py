"""Processes that cells run in."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import identity, plan
from bench.identity import Settings
from bench.launchers import processes

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


def test_a_cell_does_not_wait_for_a_lock_that_another_makes_while_there_is_other_work() -> None:
    victim = frozenset({("victim", "v")})
    a, b = victim | {("protected", "a")}, victim | {("protected", "b")}
    needs = [a, a, b, frozenset()]
    assert processes.first_free([1, 2, 3], needs, a) == 3  # both locks need the victim, which is being made
    assert processes.first_free([1, 2, 3], needs, a - victim) == 2  # the victim is there, lock a is not
    assert processes.first_free([1, 2], needs, ()) == 1  # in the order of the plan otherwise
    assert processes.first_free([1], needs, a) is None


def test_a_cell_shares_its_victim_its_lock_and_the_judges_view_of_it() -> None:
    cells = [item.cell for item in plan.build(plan.read_suite("ci-minute"))]
    a, b = (processes.shared(cell, Settings(threads=1)) for cell in cells[:2])
    assert {kind for kind, _ in a} == {"victim", "protected", "judged"}
    assert ("victim", identity.of(cells[0], Settings(threads=1)).hashes["victim"]) in a & b


def _runs(pid: int) -> bool:
    """Whether process ``pid`` is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
