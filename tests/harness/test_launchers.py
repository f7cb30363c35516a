"""Workers that cells run in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT
from processes import runs, until

from bench import plan, registry
from bench.harness.launchers import inline, processes
from bench.harness.place import Place
from bench.harness.watch import Watch
from bench.plan.graph import Graph
from bench.records import Record
from bench.store import Store
from bench.store.identity import Settings

PROGRAM = """
import time
from bench.harness.launchers import processes

with processes.Workers(1) as workers:
    print(workers.free(1.0).process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_a_run_that_was_killed_leaves_no_worker(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        assert runs(worker)
        program.kill()
    assert until(lambda: not runs(worker))


def test_a_stage_whose_worker_dies_is_tried_again_and_then_fails_alone(
    store_copy: Path, small_run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try of the first cell, and every other cell, find their records in the store."""
    before = {r.row_key: r for r in Store(store_copy).records()}
    deaths = []

    class Mortal(processes.Worker):
        def __init__(self, place: Place) -> None:
            super().__init__(place)
            if len(deaths) < 2:
                deaths.append(self.process.pid)
                os.kill(self.process.pid, signal.SIGKILL)

    monkeypatch.setattr(processes, "Worker", Mortal)
    files = _files(small_run(store_copy))
    registry.use(files)
    settings = Settings(threads=1, plugin_files=files)
    done: list[Record] = []
    graph = Graph.of([plan.Planned(r.cell, plan.ASKED) for r in before.values()], settings, Store(store_copy).has)
    assert {stage.kind for stage in graph.stages} == {"scored"}
    first = graph.stages[min(range(len(graph)), key=graph.order)]

    class Listed(Watch):
        def done(self, record: Record) -> None:
            done.append(record)

    with processes.Workers(1) as workers:
        processes.launch(graph, store_copy, settings, "", workers, Listed())
    assert len(deaths) == 2
    failed = [record for record in done if record.status == "failed"]
    assert [r.row_key for r in failed] == [first.cell.row_key()]
    assert "died 2 times (signal 9)" in (failed[0].error or "")
    assert {r.hash for r in done if r.status == "ok"} == {r.hash for r in before.values()} - {first.hash}


def _files(arguments: list[str]) -> tuple[str, ...]:
    return tuple(str(Path(a.partition("=")[2]).resolve()) for a in arguments if a.startswith("--plugin="))


def test_what_a_watch_raises_ends_the_run_and_fails_no_cell(
    store_copy: Path, small_run: Callable[..., list[str]]
) -> None:
    files = _files(small_run(store_copy))
    registry.use(files)
    settings = Settings(threads=1, plugin_files=files)
    record = next(r for r in Store(store_copy).records() if r.RP is not None and r.cell.lock.name == "destroyed")
    for folder in store_copy.rglob(record.hash):
        shutil.rmtree(folder)
    graph = Graph.of([plan.Planned(record.cell, plan.ASKED)], settings, Store(store_copy).has)

    class Broken(Watch):
        def measured(self, record: Record, evidence: object) -> None:
            raise KeyError("a name")

    with pytest.raises(KeyError, match="a name"):
        inline.launch(graph, store_copy, settings, "", Broken())
    assert record.hash not in {r.hash for r in Store(store_copy).records()}
    inline.launch(graph, store_copy, settings, "", Watch())
    assert next(r for r in Store(store_copy).records() if r.hash == record.hash).status == "ok"
