"""What is ready, and what a failed stage takes with it."""

from __future__ import annotations

from bench import plan
from bench.harness.schedule import Schedule
from bench.plan.graph import Graph, Stage

FAILURE = {"status": "failed", "error": "no", "traceback": None, "log": "", "flag": None}


def _schedule() -> Schedule:
    """Victim 0, locks 1 and 2, an attack on each (3, 4), a record of each (5, 6), and a record that needs none (7)."""
    cell = plan.build(plan.read_suite("ci-minute"))[0].cell
    kinds = ["victim", "protected", "protected", "unlocked", "unlocked", "scored", "scored", "scored"]
    parents: list[tuple[int, ...]] = [(), (0,), (0,), (1,), (2,), (1, 3), (2, 4), ()]
    stages = [Stage(k, f"h{i}", cell, p, (), 1.0, 1.0) for i, (k, p) in enumerate(zip(kinds, parents, strict=True))]
    return Schedule(Graph(stages, [(0,)] * len(stages)))


def _run(schedule: Schedule, failing: set[int]) -> list[int]:
    ran = []
    while not schedule.finished:
        at = schedule.ready()[0]
        schedule.start(at)
        ran.append(at)
        if at in failing:
            schedule.failed(at, FAILURE)
        else:
            schedule.done(at)
    return ran


def test_every_stage_runs_once_after_what_it_reads() -> None:
    schedule = _schedule()
    ran = _run(schedule, set())
    assert sorted(ran) == list(range(8))
    assert all(ran.index(p) < ran.index(i) for i in ran for p in schedule.graph.stages[i].parents)
    assert schedule.left == []


def test_a_failed_lock_fails_its_attack_and_no_other_and_its_record_names_it() -> None:
    schedule = _schedule()
    ran = _run(schedule, {1})
    assert 3 not in ran  # the attack on that lock is given up
    assert {5, 6, 7} <= set(ran)  # every record is written
    assert set(schedule.failures(5)) == {("protected", "h1"), ("unlocked", "h3")}
    assert schedule.failures(6) == {}


def test_a_failed_victim_fails_both_locks() -> None:
    schedule = _schedule()
    assert {1, 2, 3, 4}.isdisjoint(_run(schedule, {0}))
    assert all(failure == FAILURE for at in (5, 6) for failure in schedule.failures(at).values())


def test_a_stage_that_came_to_nothing_is_ready_again() -> None:
    schedule = _schedule()
    before = schedule.ready()
    schedule.start(before[0])
    assert before[0] not in schedule.ready()
    schedule.again(before[0])
    assert schedule.ready() == before
