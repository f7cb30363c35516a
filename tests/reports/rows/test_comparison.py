"""Ours beside print: the rule of the verdict, which row stands beside which line, and what speaks against one."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from example_records import record

from bench import plan
from bench.plan import Planned
from bench.plan.recipe import Printed, Recipe
from bench.records import Flag, Record
from reports.rows.aggregate import rows
from reports.rows.comparison import Beside, Verdict, beside, verdict, words
from reports.rows.intervals import IMAGES, Value
from reports.rows.published import reading_error
from reports.text import comparison

OURS = Value(50.0, (48.0, 52.0), 46.0, 54.0, "t over seeds")


@pytest.mark.parametrize(
    ("theirs", "error", "word"),
    [
        (50.0, 0.05, "inside"),
        (54.0, 0.0, "inside"),
        (54.05, 0.05, "inside"),
        (54.2, 0.05, "outside"),
        (45.6, 0.5, "inside"),
        (45.4, 0.5, "outside"),
    ],
)
def test_print_is_inside_where_it_lies_in_our_interval_widened_by_its_error(
    theirs: float, error: float, word: str
) -> None:
    assert verdict(theirs, error, OURS) == Verdict(word)  # type: ignore[arg-type]


def test_an_outside_of_one_seed_says_that_its_interval_is_over_images() -> None:
    own = Value(50.0, (50.0,), 46.0, 54.0, IMAGES)
    assert str(verdict(60.0, 0.0, own)) == "outside: of one seed, over whose images the interval is"
    assert str(verdict(50.0, 0.0, own)) == "inside"


@pytest.mark.parametrize(
    ("ours", "against", "why"),
    [
        (None, [], "not measured"),
        (None, ["the recipe does not run it"], "the recipe does not run it"),
        (OURS, ["fewer seeds: 1 of 3"], "fewer seeds: 1 of 3"),
        (OURS, ["other data: digits", "another model: cnn"], "other data: digits and another model: cnn"),
        (Value(50.0, (50.0,)), [], "no interval"),
    ],
)
def test_what_cannot_be_compared_says_why(ours: Value | None, against: list[str], why: str) -> None:
    assert verdict(50.0, 1.0, ours, against) == Verdict("not comparable", why)
    assert str(verdict(50.0, 1.0, ours, against)) == f"not comparable: {why}"


@pytest.mark.parametrize(
    ("printed", "provenance", "error"),
    [
        ("85.6", "printed in the JailNTL poster", 0.05),
        ("85", "printed", 0.5),
        ("0.013", "second-hand", 0.0005),
        ("37.9", "digitised from figure, about 0.5", 0.5),
        ("86.5", "digitised, about 1 reading + 3 sampling; a sanity range", 4.0),
    ],
)
def test_the_error_of_print_is_its_rounding_or_how_it_was_read(printed: str, provenance: str, error: float) -> None:
    assert reading_error(printed, provenance) == pytest.approx(error)


PRINTED = Printed(
    file="ntl_attacks_jailntl_poster.csv",
    task="digits:fonts",
    columns={"authorised_accuracy": "authorised", "unauthorised_accuracy": "unauthorised"},
    lines={"pair": "CIFAR10:STL10", "lock": "NTL", "attack": ["none", "ftal", "rtal", "jailntl"]},
    attacks={"ftal": "finetune head=kept", "rtal": "finetune head=new"},
)


def _recipe(*printed: Printed) -> Recipe:
    return Recipe("mine", "Mine.", "Me, 2026", {}, (), printed)


def _planned(**more: Any) -> list[Planned]:
    params = {"threat.share": 0, "threat.authorised": 0.1, "attack.data": "source"}
    line = plan.SuiteLine(["ntl"], ["none", "disguise"], ["digits:fonts"], ["cnn"], replicates=(0, 1), **more)
    tuned = plan.SuiteLine(["ntl"], ["finetune"], ["digits:fonts"], ["cnn"], params, {"attack.head": ["kept", "new"]})
    return plan.build([line, tuned])


def _record(cell: Any, **more: Any) -> Record:
    """A record of ``cell``, with made-up numbers."""
    made = record(cell.lock.name, cell.attack.name, **{"RP": None, **more})
    return made.model_copy(update={"cell": cell, "row_key": cell.row_key()})


def _of(planned: list[Planned], attack: str, **more: Any) -> list[Record]:
    return [
        _record(p.cell.model_copy(update={"replicate": i}), LP=9.0 + i, created=str(i), **more)
        for i, p in enumerate([p for p in planned if (p.cell.lock.name, p.cell.attack.name) == ("ntl", attack)])
    ]


def _by_attack(found: list[Beside]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for each in found:
        out.setdefault(each.attack, []).append(str(each.verdict))
    return out


def test_each_printed_number_is_a_line_and_settings_tell_attacks_apart() -> None:
    planned = _planned()
    found = beside(_recipe(PRINTED), planned, rows(_of(planned, "none")))
    assert [(each.attack, each.number) for each in found] == [
        ("none", "UP"), ("none", "LP"), ("finetune head=new", "authorised_after"), ("finetune head=new", "RP"),
        ("finetune head=kept", "authorised_after"), ("finetune head=kept", "RP"),
        ("disguise", "authorised_after"), ("disguise", "RP"),
    ]  # fmt: skip
    verdicts = _by_attack(found)
    assert verdicts["none"] == ["outside", "inside"]  # UP 88.0 ± 0.0 beside 85.6; LP 9.5 ± 6.4 beside 9.8
    assert set(verdicts["disguise"]) == {"not comparable: not measured"}
    assert words(found) == {"inside": 1, "outside": 1, "not comparable": 6}


def test_fewer_seeds_another_model_other_data_and_other_settings_are_said() -> None:
    planned = _planned()
    one = _of(planned, "none")[:1]
    assert set(_by_attack(beside(_recipe(PRINTED), planned, rows(one)))["none"]) == {
        "not comparable: fewer seeds: 1 of 2"
    }
    both = [p.cell for p in planned if p.cell.attack.purpose == "no-attack"]
    for change, why in (
        ({"model": "vit"}, "another model: vit"),
        ({"scenario": "fonts:digits"}, "other data: fonts:digits"),
        ({"model": "vit", "scenario": "fonts:digits"}, "other data: fonts:digits and another model: vit"),
        ({"task_settings": {"task.size": 64}}, "other settings"),
    ):
        others = [_record(cell.model_copy(update=change)) for cell in both]
        found = beside(_recipe(PRINTED), planned, rows(others))
        assert set(_by_attack(found)["none"]) == {f"not comparable: {why}"}
        assert found[0].ours is not None  # the number stands there all the same


def test_a_row_of_the_recipe_stands_beside_its_own_line_alone() -> None:
    planned = _planned()
    planned += plan.build([plan.SuiteLine(["ntl"], ["none"], ["fonts:digits"], ["cnn"], replicates=(0, 1))])
    other = [_record(p.cell) for p in planned if p.cell.scenario == "fonts:digits" and p.cell.lock.name == "ntl"]
    found = beside(_recipe(PRINTED), planned, rows(other))
    assert set(_by_attack(found)["none"]) == {"not comparable: not measured"}


def test_a_row_with_a_red_flag_or_without_its_controls_is_never_inside() -> None:
    planned = _planned()
    flag = Flag(name="lp-below-floor", detail="LP lies below the floor")
    flagged = [r.model_copy(update={"flags": [flag]}) for r in _of(planned, "none")]
    assert set(_by_attack(beside(_recipe(PRINTED), planned, rows(flagged)))["none"]) == {
        "not comparable: red flags: lp-below-floor"
    }
    attacked = _of(planned, "disguise", RP=37.8)
    found = [each for each in beside(_recipe(PRINTED), planned, rows(attacked)) if each.attack == "disguise"]
    assert {each.verdict.word for each in found} == {"not comparable"}
    assert all("without the controls" in each.verdict.why for each in found), [each.verdict.why for each in found]


def test_prompts_are_found_in_whatever_case_and_with_lines_between_words() -> None:
    prompts = Printed(
        file="modellock_prompts.csv", task="digits", lock="modellock", params={"key.prompt": "with {concept}"},
        columns={"UP": "authorised", "LP": "unauthorised"}, lines={"concept": ["Impasto brush", "coral_reef"]},
    )  # fmt: skip
    sweep = {"key.prompt": ["with impasto brush", "with coral reef"]}
    planned = plan.build([plan.SuiteLine(["modellock"], ["none"], ["digits"], ["cnn"], sweep=sweep)])
    found = beside(_recipe(prompts), planned, [])
    assert [(each.lock, each.number, each.seeds) for each in found] == [
        ("modellock with coral_reef", "UP", (0, 1)), ("modellock with coral_reef", "LP", (0, 1)),
        ("modellock with Impasto brush", "UP", (0, 1)), ("modellock with Impasto brush", "LP", (0, 1)),
    ]  # fmt: skip
    assert [each.error for each in found if each.number == "LP"] == [0.5, 0.5]  # digitised


def test_a_reason_of_the_recipe_stands_first() -> None:
    average = Printed("map_average.csv", "digits:fonts", {"ST-D": "st_d"}, {"lock": "NTL"}, "ntl", differs="an average")
    (found,) = beside(_recipe(average), _planned(), [])
    assert str(found.verdict) == "not comparable: an average and not measured"


def test_every_format_has_every_line() -> None:
    planned = _planned()
    found = beside(_recipe(PRINTED), planned, rows(_of(planned, "none")))
    assert comparison.markdown(found).count("\n") == len(found) + 1
    lines = list(csv.DictReader(io.StringIO(comparison.as_csv(found))))
    assert [line["verdict"] for line in lines] == [each.verdict.word for each in found]
    assert lines[1]["ours"] == "9.5"
    assert comparison.line_of(found[0])[4:7] == ["85.6", "88.0 [88.0, 88.0] t over seeds", "2 of 2"]
