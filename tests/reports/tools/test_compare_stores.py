"""How far two stores lie apart."""

from __future__ import annotations

from example_records import record

from reports.tools.compare_stores import markdown, pairs


def test_a_locks_accuracies_count_once_and_the_furthest_apart_stand_first() -> None:
    first = [record(attack="none", RP=None, LP=20.0), record(RP=80.0), record(attack="finetune", RP=50.0)]
    second = [record(attack="none", RP=None, LP=22.0), record(RP=80.5), record(attack="finetune", RP=40.0)]
    alone = [record(attack="tent", RP=1.0), record(replicate=1, RP=1.0)]
    result = pairs([*first, *alone], second)
    assert [(p.field, p.first, p.second) for p in result if p.field != "UP"] == [
        ("RP", 50.0, 40.0), ("LP", 20.0, 22.0), ("RP", 80.0, 80.5),
    ]  # fmt: skip
    assert "| RP | 2 | 5.2 | 1 | 1 | 10.0 |" in markdown(result)
    assert "| LP | 1 | 2.0 | 0 | 1 | 2.0 |" in markdown(result)


def test_what_failed_in_one_of_them_is_no_pair() -> None:
    assert pairs([record(RP=80.0)], [record(RP=80.0, status="failed", error="x")]) == []
