"""Runs on a real SLURM of one node, which the tests start themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import clusters
import pytest
import slurm_node
import small_suite
from processes import until

from bench.errors import UserError
from bench.harness.launchers import slurm
from bench.harness.watch import Watch
from bench.plan.graph import Stage
from bench.records import Record

pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")
absent = slurm_node.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(absent), reason=f"no SLURM here: {', '.join(absent)} missing (apt install slurm-wlm munge)"
    ),
]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    before = os.environ.get("SLURM_CONF")
    with slurm_node.slurm(tmp_path_factory.mktemp("slurm")) as environment:
        os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
        try:
            yield environment
        finally:
            if before is None:
                del os.environ["SLURM_CONF"]
            else:
                os.environ["SLURM_CONF"] = before


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "POLL", 0.2)
    monkeypatch.setattr(slurm, "QUEUE", 1.0)


class Heard(Watch):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ended: list[Stage] = []
        self.remarks: list[str] = []

    def stage_ended(self, stage: Stage) -> None:
        self.ended.append(stage)

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def done(self, record: Record) -> None:
        self.records.append(record)


def test_the_suite_gives_the_records_of_a_local_run(queue: dict[str, str], small_task: str, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(small_suite.row(small_task))
    here = clusters.run_here(clusters.execution(file, tmp_path / "here"))
    heard, execution = Heard(), clusters.execution(file, tmp_path / "there")
    execution.check()
    graph = execution.graph
    slurm.launch(graph, execution.opened.root, execution.settings, "", heard, slurm.Request(jobs=2, minutes=30))
    there = clusters.by_hash(execution)
    clusters.same(here, execution)
    assert sorted(r.hash for r in heard.records) == sorted(there), "each record once"
    assert sorted((s.kind, s.hash) for s in heard.ended) == sorted((s.kind, s.hash) for s in graph.stages)
    assert heard.remarks == []
    assert list((execution.opened.root / slurm.FOLDER).iterdir()) == [], "nothing is left but the store"


def test_what_a_lost_job_left_is_submitted_again(queue: dict[str, str], small_task: str, tmp_path: Path) -> None:
    heard = Heard()
    file, notes = clusters.slow_suite(small_task, tmp_path / "suite", attacks=1, seconds=20.0)
    execution = clusters.execution(file, tmp_path / "s", clusters.SLOW)
    execution.check()
    killed: list[str] = []

    def kill() -> None:
        assert until(lambda: clusters.at_work(notes, "protect") is not None, 300)
        listed = json.loads(next((execution.opened.root / slurm.FOLDER).glob(f"*/{slurm.JOBS}")).read_text())
        killed.extend(listed)
        subprocess.run(["scancel", "--signal=KILL", "--full", *listed], check=True, timeout=60)

    thread = threading.Thread(target=kill)
    thread.start()
    slurm.launch(execution.graph, execution.opened.root, execution.settings, "", heard, slurm.Request(jobs=1))
    thread.join()
    assert [f"job {job} is lost" in remark for job, remark in zip(killed, heard.remarks, strict=True)] == [True]
    assert {r.status for r in clusters.by_hash(execution).values()} == {"ok"}
    assert execution.opened.damaged() == []


DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import clusters
from bench.harness.launchers import slurm
from bench.harness.watch import Watch
execution = clusters.execution(Path(sys.argv[1]), Path(sys.argv[2]), clusters.SLOW)
execution.check()
slurm.launch(execution.graph, execution.opened.root, execution.settings, "", Watch(), slurm.Request(jobs=1))
"""


def test_a_driver_that_was_killed_goes_on(queue: dict[str, str], small_task: str, tmp_path: Path) -> None:
    file, notes = clusters.slow_suite(small_task, tmp_path / "suite", attacks=1, seconds=20.0)
    arguments = [sys.executable, "-c", DRIVER, str(file), str(tmp_path / "s"), str(Path(clusters.__file__).parent)]
    driver = subprocess.Popen(arguments, env=dict(os.environ))
    try:
        assert until(lambda: clusters.at_work(notes, "protect") is not None, 300)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    execution = clusters.execution(file, tmp_path / "s", clusters.SLOW)
    execution.check()
    heard = Heard()
    slurm.launch(execution.graph, execution.opened.root, execution.settings, "", heard, slurm.Request(jobs=1))
    assert {r.status for r in clusters.by_hash(execution).values()} == {"ok"}
    assert heard.remarks == [], "the jobs of the first driver were ended, not lost"
    assert slurm.queued([f"{n}_0" for n in range(1, 20)]) == {}


def test_what_slurm_refuses_is_one_sentence(queue: dict[str, str], small_task: str, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(small_suite.row(small_task))
    execution = clusters.execution(file, tmp_path / "s")
    execution.check()
    request = slurm.Request(jobs=1, partition="nowhere")
    with pytest.raises(UserError, match="SLURM refuses the jobs"):
        slurm.launch(execution.graph, execution.opened.root, execution.settings, "", Watch(), request)
