"""Runs on several ray nodes of one machine: a node is a raylet with its own object store, workers and folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_suite
from places import PLUGINS, ROOT
from processes import until

from bench.harness.watch import Watch
from bench.plan.graph import Stage
from bench.records import Cell, Record
from bench.store import Store, local

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'lockbench[ray]'")
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
def here(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of a local run."""
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


def same(one: dict[str, Record], other: dict[str, Record]) -> None:
    assert one.keys() == other.keys()
    for hash, record in one.items():
        assert clusters.comparable(record) == clusters.comparable(other[hash])


@pytest.mark.parametrize("share", [False, True])
def test_the_suite_gives_the_records_of_a_local_run(
    share: bool, cluster: Any, suite: Path, here: dict[str, Record], tmp_path: Path
) -> None:
    heard, execution = Heard(), clusters.execution(suite, tmp_path / "s")
    there = clusters.run_on(cluster, execution, heard, share=share)
    same(here, there)
    graph = execution.graph
    assert sorted((s.kind, s.hash) for s in heard.ended) == sorted((s.kind, s.hash) for s in graph.stages)
    assert sorted(r.hash for r in heard.records) == sorted(there), "each record once"
    assert all(execution.opened.has(s.kind, s.hash) for s in graph.stages if s.kind != "scored")
    assert heard.most_nodes == 4
    assert any(" on " in words for words in heard.words), "progress names the node"
    evidence = {name: values.shape for name, values in execution.opened.evidence(next(iter(there.values()))).items()}
    assert evidence
    assert execution.opened.entries("tmp") == []
    assert execution.opened.damaged() == []
    assert list(local.folder().glob("node-*")) == [], "nodes forget the run"


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
    same(clusters.run_here(clusters.execution(suite, tmp_path / "here", clusters.SLOW)), there)
    assert execution.opened.damaged() == []
