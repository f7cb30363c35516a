"""The summary: the answer first, whole words and numbers at any width, controls and flags in a line each."""

from __future__ import annotations

import io
import re

import pytest
from example_records import CURVE, record, world
from rich.console import Console

from bench.records import CurvePoint, Flag, Record
from reports.rows.aggregate import rows
from reports.text.summary import summary


def shown(records: list[Record], width: int = 80, encoding: str = "utf-8", colour: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(width=width, file=stream, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(summary(rows(records), "bench report --details"))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_the_verdict_comes_first_and_the_four_answers_under_it() -> None:
    lines = shown(world((80.0, 78.0), (30.0, 28.0))).splitlines()
    assert lines[0].endswith("BROKEN")
    assert lines[0].startswith("modellock (edit) on ")
    heads = [line[:21].strip() for line in lines[1:5]]
    assert heads == ["rightful user gets", "anybody gets", "best attack reaches", "without the model"]
    assert "prompt-search" in lines[3]
    assert "79.0" in lines[3]
    assert "29.0" in lines[4]


def test_a_lock_with_an_attack_that_nothing_decides_is_not_called_whole() -> None:
    pool = world((30.0, 30.2), (28.0, 28.2))
    assert "NOT BROKEN" in shown(pool).splitlines()[0]
    wide = [record(attack="finetune", replicate=i, RP=rp) for i, rp in enumerate((20.0, 38.0))]
    lines = shown([*pool, *wide]).splitlines()
    assert lines[0].endswith("UNDECIDED")
    assert [line.split() for line in lines if line.strip().startswith("not decided")] == [
        ["not", "decided", "1", "finetune"]
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_word_and_no_number_is_broken(width: int) -> None:
    text = shown(world((80.0, 78.0), (30.0, 28.0)), width)
    assert max(map(len, text.splitlines())) <= width
    words = set(re.split(r"\s+", text))
    assert {"modellock", "prompt-search", "79.0", "baseline", "verdict", "broken"} <= words


def test_the_controls_take_one_line() -> None:
    pool = [r for r in world((80.0, 78.0), (30.0, 28.0)) if r.cell.lock.name != "permuted-logits"]
    pool += [record("permuted-logits", "logit-surgery", seed, RP=90.0, LP=3.0) for seed in range(2)]
    pool.append(record("destroyed", replicate=1, RP=28.0, LP=10.0))
    (line,) = [x for x in shown(pool).splitlines() if x.startswith("controls")]
    assert line == "controls ok: destroyed stayed closed; permuted-logits opened"


def test_a_control_with_an_interval_that_says_nothing_is_not_decided() -> None:
    pool = [r for r in world((80.0, 78.0), (30.0, 30.0)) if r.cell.lock.name != "destroyed"]
    pool += [record("destroyed", replicate=seed, RP=rp, LP=10.0) for seed, rp in enumerate((10.0, 45.0))]
    text = " ".join(shown(pool, 200).split())
    assert "destroyed stayed closed" not in text
    assert re.search(r"controls not decided: destroyed × prompt-search: advantage -2.5 ±\d\d\d", text)
    low = [record("destroyed", replicate=seed, RP=rp, LP=5.0) for seed, rp in enumerate((5.0, 7.0))]
    far = world((80.0, 78.0), (75.0, 77.0))
    others = [r for r in far if r.cell.lock.name != "destroyed"]
    assert "destroyed stayed closed" in " ".join(shown([*others, *low], 200).split()), (
        "far below the baseline is closed"
    )


def test_a_lock_that_was_compared_with_no_baseline_did_not_stay_closed() -> None:
    """Its rights are others than those of every public baseline, so it has no advantage."""
    closed = {"share": 0.2}
    pool = [r for r in world((80.0, 78.0), (30.0, 28.0)) if r.cell.lock.name != "destroyed"]
    pool += [record("destroyed", RP=90.0, LP=10.0, threat=closed)]
    assert "destroyed stayed closed" not in shown(pool)


def test_seeds_in_which_half_is_never_back_are_counted() -> None:
    never = [CurvePoint(meter={"guesses": 9, "edited": 9}, RP=21.0, validation=None)]
    pool = [r for r in world((80.0, 78.0), (30.0, 28.0)) if r.cell.lock.name != "modellock"]
    pool += [record(replicate=i, RP=80.0, curve=curve) for i, curve in enumerate((CURVE, never))]
    text = " ".join(shown(pool, 200).split())
    assert "half of the loss is back after 4 guesses in 1 of 2 seeds" in text


def test_a_calibration_lock_under_another_attack_was_not_opened() -> None:
    pool = [r for r in world((80.0, 78.0), (30.0, 28.0)) if r.cell.lock.name != "permuted-logits"]
    pool += [record("permuted-logits", "prompt-search", seed, RP=5.0, LP=3.0) for seed in range(2)]
    assert "permuted-logits opened" not in shown(pool)


def test_a_missing_control_withholds_the_verdict_and_names_its_command() -> None:
    text = shown([record(RP=80.0)])
    assert "CONTROLS MISSING" in text.splitlines()[0]
    assert "80.0" not in text
    assert "control missing: public baseline" in text
    assert "run: bench run" in text


def test_a_lock_whose_user_gets_no_more_than_anybody_is_called_none() -> None:
    flag = Flag(name="up-not-above-lp", detail="UP 25.0, LP 25.0")
    pool = world((30.0, 30.2), (28.0, 28.2), flags=[flag], LP=25.0)
    assert shown(pool).splitlines()[0].endswith("NO LOCK")
    assert "NOT BROKEN" not in shown(pool)
    closed = world((12.0, 12.2), (10.0, 10.2), flags=[flag], LP=11.0)
    assert shown(closed).splitlines()[0].endswith("NOT BROKEN"), "it holds, though its user gets nothing either"


def test_red_flags_take_one_line_with_where_to_read_on() -> None:
    records = world((80.0, 78.0), (30.0, 28.0))
    flagged = [
        r.model_copy(update={"flags": [Flag(name="lp-below-floor", detail="LP is low")]})
        if r.cell.attack.name == "prompt-search" and r.cell.lock.name == "modellock"
        else r
        for r in records
    ]
    text = " ".join(shown(flagged).split())
    assert "red flags: lp-below-floor (modellock (edit)); read docs/reference/flags.md" in text


def test_colour_marks_the_verdict_and_plain_text_needs_none() -> None:
    records = world((80.0, 78.0), (30.0, 28.0))
    assert "\x1b[" in shown(records, colour=True)
    assert "\x1b[" not in shown(records)


def test_a_terminal_that_knows_ascii_alone_gets_ascii() -> None:
    assert shown(world((80.0, 78.0), (30.0, 28.0)), encoding="ascii").isascii()


def test_an_empty_store_says_how_to_fill_it() -> None:
    assert "bench run --lock modellock --attack prompt-search" in " ".join(shown([]).split())
