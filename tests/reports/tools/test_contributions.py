"""What each attack adds to the worst case: the order, what is left, and which records count."""

from __future__ import annotations

from typing import Any

from example_records import record

from bench.records import Provenance, Record
from reports.tools.contributions import contributions, markdown, ranking

MEANS = {
    "strong and slow": {"a": 90.0, "b": 80.0},
    "weak and fast": {"a": 60.0, "b": 30.0},
    "special": {"a": 20.0, "b": 95.0},
    "no use": {"a": 15.0, "b": 15.0},
}
SECONDS = {"strong and slow": 100.0, "weak and fast": 1.0, "special": 10.0, "no use": 1.0}


def test_the_next_attack_is_the_one_that_gains_most_per_second() -> None:
    steps = ranking(MEANS, SECONDS, {"a": 10.0, "b": 10.0})
    assert [step.attack for step in steps] == ["weak and fast", "special", "strong and slow", "no use"]
    assert [step.gain for step in steps] == [35.0, 32.5, 15.0, 0.0]
    assert [step.gap for step in steps] == [65.0, 30.0, 0.0, 0.0]
    assert [(step.place, step.largest) for step in steps] == [("a", 50.0), ("b", 65.0), ("a", 30.0), ("", 0.0)]
    assert [step.alone for step in steps] == [45.0, 57.5, 85.0, 15.0]


def test_an_attack_that_did_not_run_somewhere_adds_nothing_there() -> None:
    first, second = ranking({"x": {"a": 50.0}, "y": {"b": 20.0}}, {"x": 1.0, "y": 1.0}, {"a": 10.0, "b": 10.0})
    assert (first.attack, first.gain, first.gap) == ("x", 20.0, 10.0)
    assert (second.attack, second.gain, second.gap) == ("y", 5.0, 0.0)


def _trial(attack: str, RP: float, seconds: float, **more: Any) -> Record:
    trial = record(attack=attack, replicate=1000, RP=RP, LP=10.0, split="judge-validation", **more)
    seconds_of = {"unlocked": seconds, "scored": 99.0}
    return trial.model_copy(update={"provenance": Provenance(hash=f"{attack}{more}", seconds=seconds_of)})


def test_attacks_on_tuning_seeds_count_without_controls_and_by_threat_model() -> None:
    good, worse = _trial("tent", 80.0, 4.0), _trial("shot", 79.5, 9.0)
    others = [
        record(attack="nrc", RP=99.0),  # a reporting seed
        _trial("from-scratch", 99.0, 1.0),
        _trial("nrc", 99.0, 1.0, lock="destroyed"),
        _trial("plue", 99.0, 1.0, status="failed"),
    ]
    (group,) = contributions([good, worse, *others])
    assert [step.attack for step in group.chosen] == ["tent, guesses=64"]
    assert [(step.attack, step.seconds) for step in group.rest] == [("shot, guesses=64", 9.0)]
    assert group.places == ("modellock, key edit (digits, vit)",)
    assert group.seeds == (1000,)
    apart = contributions([good, _trial("shot", 79.0, 9.0, threat={"share": 0.5})])
    assert [len(group.chosen) for group in apart] == [1, 1]


def test_the_table_names_what_is_chosen() -> None:
    text = markdown(contributions([_trial("tent", 80.0, 4.0), _trial("shot", 79.5, 9.0)]))
    assert "| tent, guesses=64 | 4.0 | 70.0 | 70.0 | modellock, key edit (digits, vit) | 0.0 | 80.0 | 1 | yes |" in text
    assert "| shot, guesses=64 | 9.0 | 0.0 | 0.0 |  | 0.0 | 79.5 | 1 |  |" in text
    assert "Places: 1; seeds: 1000" in text
