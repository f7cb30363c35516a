"""Runs on several ray nodes of one machine: a node is a raylet with its own object store, workers and folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_suite
from places import PLUGINS

from bench.api.execution import Execution
from bench.errors import UserError
from bench.harness.launchers import ray as launcher
from bench.harness.launchers import ray_cluster
from bench.harness.watch import Watch
from bench.plan.graph import Graph, Stage
from bench.records import Cell, Record
from bench.store.settings import Settings

ray = pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[ray]'")
import clusters  # noqa: E402  # it imports ray's helpers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with clusters.nodes(3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def suite(small_task: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("suites") / "small.toml"
    file.write_text(small_suite.row(small_task))
    return file


@pytest.fixture(scope="module")
def here(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Execution:
    """A local run."""
    return clusters.run_here(clusters.execution(suite, tmp_path_factory.mktemp("here") / "s"))


class Heard(Watch):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ended: list[Stage] = []
        self.words: list[str] = []
        self.most_nodes = 0
        self.remarks: list[str] = []

    def stage(self, cell: Cell, name: str, done: int, total: int, what: str) -> None:
        self.words.append(what)

    def stage_ended(self, stage: Stage) -> None:
        self.ended.append(stage)

    def nodes(self, nodes: int, stages: int) -> None:
        self.most_nodes = max(self.most_nodes, nodes)

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def done(self, record: Record) -> None:
        self.records.append(record)


@pytest.mark.parametrize("share", [False, True])
def test_the_suite_gives_the_records_of_a_local_run(
    share: bool, cluster: Any, suite: Path, here: Execution, tmp_path: Path
) -> None:
    heard, execution = Heard(), clusters.execution(suite, tmp_path / "s")
    there = clusters.run_on(cluster, execution, heard, share=share)
    clusters.same(here, execution)
    graph = execution.graph
    assert sorted((s.kind, s.hash) for s in heard.ended) == sorted((s.kind, s.hash) for s in graph.stages)
    assert sorted(r.hash for r in heard.records) == sorted(there), "each record once"
    assert all(execution.opened.has(s.kind, s.hash) for s in graph.stages if s.kind != "scored")
    assert heard.most_nodes == 4
    assert any(" on " in words for words in heard.words), "progress names the node"
    assert execution.opened.entries("tmp") == []
    assert execution.opened.damaged() == []
    assert clusters.folders(cluster) == [], "nodes forget the run"


@pytest.fixture
def slow(small_task: str, tmp_path: Path) -> tuple[Path, Path]:
    """A suite that takes its time, and where its plugins note what they do."""
    return clusters.slow_suite(small_task, tmp_path / "suite", seconds=4.0)


class Killer(Watch):
    """Kills the node that does ``what`` once, and counts."""

    def __init__(self, cluster: Any, notes: Path, *what: str) -> None:
        self.ended: list[Stage] = []
        self.records: list[Record] = []
        self.killed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._kill, args=(cluster, notes, what))

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _kill(self, cluster: Any, notes: Path, all: tuple[str, ...]) -> None:
        for what in all:
            while not self._stop.wait(0.05):
                pid = clusters.at_work(notes, what)
                raylet = None if pid is None else clusters.raylet_of(pid)
                if raylet is not None:
                    clusters.kill(cluster, raylet)
                    self.killed.append(what)
                    break

    def stage_ended(self, stage: Stage) -> None:
        self.ended.append(stage)

    def done(self, record: Record) -> None:
        self.records.append(record)


@pytest.mark.parametrize("share", [False, True])
def test_nodes_that_die_cost_nothing_but_time(share: bool, slow: tuple[Path, Path], tmp_path: Path) -> None:
    """One in the middle of a lock's training, one while an attack is at work, one while its result is judged."""
    suite, notes = slow
    execution = clusters.execution(suite, tmp_path / "s", clusters.SLOW)
    with clusters.nodes(4) as cluster, Killer(cluster, notes, "protect", "unlock", "judge") as heard:
        there = clusters.run_on(cluster, execution, heard, share=share)
    assert heard.killed == ["protect", "unlock", "judge"]
    graph = execution.graph
    assert sorted((s.kind, s.hash) for s in heard.ended) == sorted((s.kind, s.hash) for s in graph.stages)
    assert sorted(r.hash for r in heard.records) == sorted(there), "nothing lost, nothing doubled"
    clusters.same(clusters.run_here(clusters.execution(suite, tmp_path / "here", clusters.SLOW)), execution)
    assert execution.opened.damaged() == []


DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[4]]
import clusters
from bench.harness.launchers import ray
from bench.harness.watch import Watch
class Say(Watch):
    def stage_ended(self, stage):
        print(stage.kind, flush=True)
execution = clusters.execution(Path(sys.argv[1]), Path(sys.argv[2]), clusters.SLOW)
execution.check()
options = {"address": sys.argv[3], "share": False}
ray.launch(execution.graph, execution.opened.root, execution.settings, "", Say(), **options)
"""


def test_a_driver_that_was_killed_goes_on(cluster: Any, slow: tuple[Path, Path], tmp_path: Path) -> None:
    """What it had put into its store is not made again; what it had not is."""
    suite, _ = slow
    helpers = str(Path(clusters.__file__).parent)
    arguments = [sys.executable, "-c", DRIVER, str(suite), str(tmp_path / "s"), cluster.address, helpers]
    driver = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.strip() == "protected":
            break
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    execution = clusters.execution(suite, tmp_path / "s", clusters.SLOW)
    heard = Heard()
    assert execution.opened.leftovers(), "the token by which nodes knew the store of the first driver"
    execution.opened.clean()
    clusters.run_on(cluster, execution, heard, share=False)
    assert {s.kind for s in heard.ended}.isdisjoint({"key", "victim", "protected"}), "those were there already"
    clusters.same(clusters.run_here(clusters.execution(suite, tmp_path / "here", clusters.SLOW)), execution)
    assert execution.opened.leftovers() == []


def test_a_plugin_file_that_only_the_driver_has(
    cluster: Any, slow: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are gone from the disk as soon as the driver has read them; their helper travels too."""
    suite, _ = slow
    folder = tmp_path / "mine"
    folder.mkdir()
    files = tuple(Path(shutil.copy(file, folder)) for file in clusters.SLOW)
    helper = Path(shutil.copy(PLUGINS / "slow_helper.py", folder))
    execution = clusters.execution(suite, tmp_path / "s", files)
    examine = ray_cluster.examine

    def hide(*arguments: Any) -> ray_cluster.Cluster:
        for file in (*files, helper):
            file.rename(file.with_suffix(".hidden"))
        return examine(*arguments)

    monkeypatch.setattr(ray_cluster, "examine", hide)
    there = clusters.run_on(cluster, execution, share=False)
    assert {record.status for record in there.values()} == {"ok"}


def test_a_node_of_another_version_is_refused_by_name(
    cluster: Any, slow: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = ray_cluster.probe

    def other(*arguments: Any) -> dict[str, dict[str, Any]]:
        found = probe(*arguments)
        last = sorted(found)[-1]
        return {**found, last: {**found[last], "lockbench": "0" * 20, "version": "0.0.9"}}

    monkeypatch.setattr(ray_cluster, "probe", other)
    execution = clusters.execution(slow[0], tmp_path / "s", clusters.SLOW)
    with pytest.raises(UserError, match=r"the node \S+ has LockBench 0\.0\.9, this machine") as error:
        clusters.run_on(cluster, execution)
    assert "Install this machine's LockBench there" in error.value.remedy
    assert not ray.is_initialized(), "the driver lets go of the cluster"
    assert execution.records() == []


def test_what_a_user_must_mend_is_one_sentence(cluster: Any, slow: tuple[Path, Path], tmp_path: Path) -> None:
    """Data that a node cannot read: named with the node, and no cell is recorded as failed for it."""
    suite, _ = slow
    execution = clusters.execution(suite, tmp_path / "s", clusters.SLOW)
    execution.check()
    graph = execution.graph
    task = Path(graph.stages[0].cell.scenario.removeprefix("folder:"))
    task.rename(task.with_name("gone"))
    try:
        with pytest.raises(UserError, match=r"on the node \S+: ") as error:
            launcher.launch(graph, tmp_path / "s", execution.settings, "", Watch(), address=cluster.address)
    finally:
        task.with_name("gone").rename(task)
    assert "#" in str(error.value), "named, not numbered"
    assert execution.records() == []


def test_no_cluster_at_an_address_is_one_sentence(tmp_path: Path) -> None:
    settings = Settings()
    with pytest.raises(UserError, match="no ray cluster answers at"):
        launcher.launch(Graph.of([], settings), tmp_path / "s", settings, "", Watch(), address="127.0.0.1:1")
