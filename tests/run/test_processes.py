"""Processes that cells run in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from places import ROOT

from bench import plan
from bench.run import forkserver as forks
from bench.run.launchers import processes
from bench.store import identity
from bench.store.identity import Settings

PROGRAM = """
import os, time
from bench.run.launchers import processes

def work():
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with processes.workers(1) as pool:
        pool.submit(work).result()
"""

SERVER = """
import importlib, os, torch
torch.cuda._device_count_nvml = lambda: 1  # a driver that says that there is a GPU
from bench.run.forkserver import PRELOADED

for name in PRELOADED:
    importlib.import_module(name)
child = os.fork()
if child == 0:
    os._exit(torch._C._cuda_isInBadFork())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
STARTED = """
import json, multiprocessing, os
from bench.run import forkserver as forks

def told(pipe):
    pipe.send(dict(os.environ))

if __name__ == "__main__":
    before = dict(os.environ)
    forks.start()
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("forkserver").Process(target=told, args=(theirs,)).start()
    print(json.dumps([before == dict(os.environ), ours.recv()]))
"""


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch knows no CUDA")
def test_a_process_forked_from_the_server_can_use_a_gpu() -> None:
    """Importing what the server imports must not initialise CUDA, which happens on machines with a GPU only."""
    done = subprocess.run(
        [sys.executable, "-c", SERVER], env={**os.environ, **forks.ENVIRONMENT}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr


def test_the_server_alone_is_started_in_another_environment(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(STARTED)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(file)], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    as_it_was, in_the_child = json.loads(done.stdout)
    assert as_it_was
    assert in_the_child.items() >= forks.ENVIRONMENT.items()


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
