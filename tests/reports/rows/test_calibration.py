"""Controls that fail their condition are called out, and those that hold are not."""

from __future__ import annotations

import pytest
from example_records import baselines, printed, record, the_row, world

from bench.records import Flag, Record
from reports.rows import calibration
from reports.rows.aggregate import rows
from reports.text.tables import render


def with_controls(must_open: list[float], must_not_open: list[float], oracle: float = 90.0) -> list[Record]:
    seeds = range(len(must_open))
    return [
        *(record(replicate=i, oracle=oracle) for i in seeds),
        *(
            record("permuted-logits", "logit-surgery", replicate=i, RP=must_open[i], LP=3.0, oracle=oracle)
            for i in seeds
        ),
        *(record("destroyed", replicate=i, RP=must_not_open[i], LP=10.0, oracle=oracle) for i in seeds),
        *baselines(*[30.0] * len(must_open)),
    ]


@pytest.mark.parametrize(
    ("must_open", "must_not_open", "expected"),
    [
        ([90.0, 89.5], [30.0, 31.0], []),
        ([90.0, 90.5, 89.5], [10.0, 12.0, 9.0], []),
        ([91.0], [28.0], []),
        ([40.0, 42.0], [30.0, 30.0], ["permuted-logits"]),
        ([30.0, 75.0], [30.0, 30.0], ["permuted-logits"]),  # their interval has 1 in it, and each seed fails
        ([60.0], [30.0], ["permuted-logits"]),
        ([99.5, 99.8], [30.0, 30.0], ["permuted-logits"]),  # better than the victim: the victim is wrong
        ([90.0, 90.0], [60.0, 62.0], ["destroyed"]),
        ([90.0, 90.0], [45.0, 80.0], ["destroyed"]),
        ([20.0, 21.0], [60.0, 62.0], ["destroyed", "permuted-logits"]),
    ],
)
def test_calibration_locks(must_open: list[float], must_not_open: list[float], expected: list[str]) -> None:
    table = rows(with_controls(must_open, must_not_open))
    assert sorted(finding.control for finding in calibration.failed(table)) == expected
    for text in (render(table, "md"), " ".join(printed(table).split())):
        assert text.count("CONTROL FAILED") == len(expected)


@pytest.mark.parametrize(
    ("must_open", "side", "meaning"),
    [
        ([45.0], "recovery 0.44 is not 1 within noise, but below", "does not even undo a renaming"),
        # LP 3, floor 10, oracle 55: (84 − 10) / (55 − 10)
        ([84.0], "recovery 1.64 is not 1 within noise, but above", "teach more than the victim knows"),
    ],
)
def test_a_recovery_above_1_is_missed_as_one_below(must_open: list[float], side: str, meaning: str) -> None:
    oracle = 55.0 if must_open[0] > 80 else 90.0
    table = rows(with_controls(must_open, [30.0], oracle=oracle))
    (finding,) = calibration.failed(table)
    assert side in finding.what
    assert meaning in finding.meaning
    text = render(table, "md")
    assert "control; condition missed" in text
    assert "(must be 1 within noise: missed)" in text
    assert "condition missed" in render(table, "csv")


@pytest.mark.parametrize(
    ("must_open", "words"),
    [
        ([90.0, 90.0, 72.0], "RP lies below the oracle in seed 2: RP 72.0, oracle 90.0"),
        ([90.0, 99.0, 90.0], "RP lies above the oracle in seed 1: RP 99.0, oracle 90.0"),
    ],
)
def test_a_seed_that_misses_alone_is_named_and_fails_nothing(must_open: list[float], words: str) -> None:
    table = rows(with_controls(must_open, [30.0] * 3))
    assert not calibration.failed(table)
    for text in (render(table, "md"), " ".join(printed(table).split())):
        assert "CONTROL MISSED: permuted-logits" in text
        assert words in text
        assert "CONTROL FAILED" not in text


def test_a_calibration_lock_is_held_to_its_condition_under_its_opener_alone() -> None:
    table = rows([record("permuted-logits", "prompt-search", replicate=i, RP=5.0, LP=3.0) for i in range(2)])
    text = render(table, "md")
    assert "missed" not in text
    assert "must be 1" not in text


def test_a_victim_at_the_floor_is_named_once() -> None:
    table = rows(with_controls([11.0, 11.5], [10.0, 10.0], oracle=11.0))
    (finding,) = [f for f in calibration.failed(table) if f.control == "the victim"]
    assert "at the floor in seed 0, 1: oracle 11.0, floor 10.0" in finding.what
    assert "CONTROL FAILED: the victim: at the floor" in render(table, "md")


def test_only_the_attack_that_opens_it_must_open_it() -> None:
    table = rows([record("permuted-logits", "prompt-search", replicate=i, RP=5.0, LP=3.0) for i in range(2)])
    assert not calibration.failed(table)


def test_a_failed_record_is_no_failed_control() -> None:
    failed = record("permuted-logits", "logit-surgery", RP=None, status="failed", error="x")
    assert not calibration.failed(rows([failed]))


@pytest.mark.parametrize(
    ("lock", "raised", "printed_flags"),
    [
        ("none", ["lock-is-a-no-op", "up-not-above-lp", "depends-on-batch"], {"depends-on-batch"}),
        ("permuted-logits", ["lp-below-floor", "up-not-above-lp", "lock-is-a-no-op"], {"lock-is-a-no-op"}),
        ("destroyed", ["up-not-above-lp", "lock-is-a-no-op"], {"lock-is-a-no-op"}),
        ("modellock", ["lock-is-a-no-op", "up-not-above-lp"], {"lock-is-a-no-op", "up-not-above-lp"}),
    ],
)
def test_flags_that_a_control_raises_by_purpose_are_not_printed(
    lock: str, raised: list[str], printed_flags: set[str]
) -> None:
    flags = [Flag(name=name, detail=name) for name in raised]
    attack = "from-scratch" if lock == "none" else "prompt-search"
    pool = [r for r in world() if (r.cell.lock.name, r.cell.attack.name) != (lock, attack)]
    row = the_row([*pool, record(lock, attack, flags=flags)], lock=lock, attack=attack)
    assert set(row.flags) == printed_flags


def test_on_a_pair_a_recovery_above_1_is_said_and_fails_nothing() -> None:
    """A victim of one domain leaves much of the other for labelled images to teach."""
    pair = "digits:fonts"
    (row,) = rows([record("permuted-logits", "logit-surgery", RP=84.0, LP=3.0, oracle=55.0, scenario=pair)])
    assert calibration.must_open(row) is None
    (finding,) = calibration.missed(row)
    assert "RP lies above the oracle in seed 0: RP 84.0, oracle 55.0" in finding.what
    (low,) = rows([record("permuted-logits", "logit-surgery", RP=30.0, LP=3.0, oracle=55.0, scenario=pair)])
    assert calibration.must_open(low) is not None


def test_a_pair_of_parts_with_a_setting_is_a_pair() -> None:
    pair = "office-home:Art:office-home:Clipart"
    own = record("permuted-logits", "logit-surgery", RP=84.0, LP=3.0, oracle=55.0, scenario=pair)
    cell = own.cell.model_copy(update={"task_settings": {"task.size": 64}})
    (row,) = rows([own.model_copy(update={"cell": cell, "row_key": cell.row_key()})])
    assert calibration.must_open(row) is None
