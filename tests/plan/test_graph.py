"""Stages: each once, parents first, the most urgent before the others, and the time they may take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plan
from bench.harness.schedule import Schedule
from bench.plan.build import ASKED
from bench.plan.graph import KINDS, Graph, Stage, reads_of
from bench.plan.time_left import TRUSTED, TimeLeft
from bench.store import identity
from bench.store.settings import Settings

SETTINGS = Settings(threads=1)


def _planned(seeds: int = 1) -> list[plan.Planned]:
    lines = plan.read_suite("ci-minute")
    planned = plan.build(lines)
    return [p for p in planned if p.cell.replicate < seeds]


def _graph(has: set[tuple[str, str]] | None = None) -> Graph:
    return Graph.of(_planned(), SETTINGS, lambda *at: at in (has or set()))


def test_a_stage_is_there_once_however_many_cells_need_it() -> None:
    graph, planned = _graph(), _planned()
    names = [(stage.kind, stage.hash) for stage in graph.stages]
    assert len(names) == len(set(names))
    assert graph.cells == [p.cell for p in planned]
    assert [s.hash for s in graph.stages if s.kind == "scored"] == [
        identity.of(p.cell, SETTINGS).record for p in planned
    ]
    assert sum(s.kind == "victim" for s in graph.stages) < len(planned)


def test_parents_come_before_those_that_read_them() -> None:
    for i, stage in enumerate(_graph().stages):
        assert all(parent < i for parent in stage.parents)
        assert {(p.kind, p.hash) for p in map(_graph().stages.__getitem__, stage.parents)} <= set(stage.inputs)


def test_what_the_store_has_is_left_out_and_so_is_the_victim_of_a_lock_that_was_judged() -> None:
    whole = _graph()
    first = next(s for s in whole.stages if s.kind == "protected")
    victim = next((kind, hash) for kind, hash in first.inputs if kind == "victim")
    there = {(s.kind, s.hash) for s in whole.stages if s.kind in ("protected", "judged")}
    left = {(s.kind, s.hash) for s in _graph(there).stages}
    assert left.isdisjoint(there)
    assert victim not in left
    assert {kind for kind, _ in left} >= {"key", "scored"}  # the judge reads the key again


def test_an_attack_that_sees_no_model_waits_for_no_lock() -> None:
    blind = plan.make_cell("none", "from-scratch", "digits", "cnn", {})
    assert blind.threat.access == "none"
    assert reads_of(blind)["unlocked"] == ("key",)
    assert "conditions" not in reads_of(blind)  # a control
    assert "victim" not in reads_of(blind, reads_victim=False)


def test_tuning_seeds_have_no_key_conditions() -> None:
    cell = plan.make_cell("modellock", "none", "digits", "cnn", {})
    assert "conditions" in reads_of(cell)
    assert "conditions" not in reads_of(cell.model_copy(update={"replicate": 1000}))


def _chain(seconds: list[float], parents: list[tuple[int, ...]], ranks: list[tuple[int, ...]] | None = None) -> Graph:
    cell = _planned()[0].cell
    stages = [
        Stage("unlocked", str(i), cell, p, (), s, 1.0) for i, (s, p) in enumerate(zip(seconds, parents, strict=True))
    ]
    return Graph(stages, ranks or [(0,)] * len(stages))


def test_the_longest_path_goes_first_among_stages_of_one_rank() -> None:
    graph = _chain([1, 2, 5, 1], [(), (), (0,), (1,)])
    assert graph.remaining == (6, 3, 5, 1)
    assert sorted(range(2), key=graph.order) == [0, 1]
    graph = _chain([1, 2, 5, 1], [(), (), (0,), (1,)], [(1,), (0,), (1,), (0,)])
    assert sorted(range(2), key=graph.order) == [1, 0]  # asked for comes before what is longer


def test_one_lock_is_attacked_before_the_next_is_made() -> None:
    row = plan.SuiteLine(["ntl", "cuti"], ["none", "finetune"], ["digits:fonts"], ["cnn"])
    schedule = Schedule(Graph.of([p for p in plan.build([row]) if p.reason == ASKED], Settings()))
    ended = []
    while not schedule.finished:
        i = schedule.ready()[0]
        ended.append(schedule.start(i))
        schedule.done(i)
    locks = [stage.cell.lock.name for stage in ended if stage.kind != "victim"]
    assert locks == sorted(locks, key=["ntl", "cuti"].index)
    assert {stage.kind for stage in ended} > {"victim", "protected", "scored"}


def test_time_is_the_sum_over_jobs_or_the_longest_path() -> None:
    graph = _chain([10, 1, 1, 1], [(), (), (), (0,)])
    assert graph.seconds(1) == 13
    assert graph.seconds(2) == 11  # the path
    assert graph.seconds(1, left=[1, 2]) == 2
    assert graph.seconds(4, left=[]) == 0


def test_the_pace_of_a_run_corrects_its_estimates() -> None:
    now = [0.0]
    graph = _chain([TRUSTED, TRUSTED], [(), (0,)])
    left = TimeLeft(graph, 1, lambda: now[0])
    assert left.seconds() == 2 * TRUSTED
    now[0] = 3 * TRUSTED  # three times what was expected
    left.ended(graph.stages[0])
    assert left.seconds() == pytest.approx(2 * TRUSTED)
    left.ended(graph.stages[1])
    assert left.seconds() == 0
    now[0] = 0.0
    wide = TimeLeft(_chain([TRUSTED] * 4, [()] * 4), 1, lambda: now[0])
    before = wide.seconds()
    wide.jobs = 4  # a cluster grew
    assert wide.seconds() == pytest.approx(before / 4)


def test_a_folded_kind_is_made_by_the_most_urgent_of_its_readers_and_the_others_wait_for_that_one() -> None:
    graph, some = _graph(), _graph().folded("conditions")
    others = {(s.kind, s.hash) for s in graph.stages if s.kind != "conditions"}
    assert sorted(others) == sorted((s.kind, s.hash) for s in some.stages)
    assert all(parent < i for i, stage in enumerate(some.stages) for parent in stage.parents)
    assert some.seconds(1) == pytest.approx(graph.seconds(1))
    where = {(s.kind, s.hash): i for i, s in enumerate(some.stages)}
    for i, stage in enumerate(graph.stages):
        if stage.kind != "conditions":
            continue
        readers = [where[graph.stages[j].kind, graph.stages[j].hash] for j in graph.children[i]]
        alone = [j for j in readers if not set(readers) & set(some.stages[j].parents)]
        assert len(alone) == 1
        assert all(alone[0] in some.stages[j].parents for j in readers if j != alone[0])
        assert min(readers, key=lambda j: (some._ranks[j], j)) == alone[0]


def test_the_asked_for_row_makes_what_is_folded_even_where_another_row_comes_before_it() -> None:
    cell = _planned()[0].cell
    rows = [("conditions", ()), ("scored", (0,)), ("scored", (0,))]
    stages = [Stage(kind, str(i), cell, parents, (), 1.0, 1.0) for i, (kind, parents) in enumerate(rows)]
    some = Graph(stages, [(0,), (1,), (0,)]).folded("conditions")
    assert [(s.hash, s.parents, s.seconds) for s in some.stages] == [("2", (), 2.0), ("1", (0,), 1.0)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 4))
def test_more_jobs_never_take_longer(lengths: list[int], jobs: int) -> None:
    graph = _chain([float(n) for n in lengths], [((i - 1) // 2,) if i else () for i in range(len(lengths))])
    assert graph.seconds(jobs + 1) <= graph.seconds(jobs) <= graph.seconds(1) == pytest.approx(sum(lengths))


def test_every_kind_of_stage_has_a_place() -> None:
    assert set(reads_of(_planned()[0].cell)) <= set(KINDS)
