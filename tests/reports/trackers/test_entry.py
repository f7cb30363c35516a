"""A record as trackers write it: parameters, metrics and tags."""

from __future__ import annotations

from example_records import baselines, calibration, exactly, record

from bench.records import Flag, Record
from reports.rows.aggregate import current
from reports.rows.controls import Controls
from reports.trackers.entry import Entry, entry_of, plain


def entry(one: Record, *others: Record) -> Entry:
    return entry_of(one, Controls(current([one, *others])), lambda _: {})


def test_parameters_are_the_flat_cell() -> None:
    params = entry(record(attack_explicit={"steps": 9}, threat={"share": 0.1})).params
    wanted = {
        "lock": "modellock", "key": "edit", "attack": "prompt-search", "scenario": "digits", "model": "vit",
        "replicate": "0", "attack.steps": "9", "threat.share": "0.1", "threat.listed": "true", "budget.guesses": "64",
        "budget.steps": "none", "selection": "own-scorer",
    }  # fmt: skip
    assert wanted.items() <= params.items()


def test_metrics_by_hand() -> None:
    # recovery = (80 − 20) / (90 − 20), advantage = 80 − 30.
    metrics = entry(record(RP=80.0), *calibration(), *baselines(30.0)).metrics
    wanted = {
        "UP": 88.0, "LP": 20.0, "RP": 80.0, "oracle": 90.0, "public_baseline": 30.0, "advantage": 50.0,
        "recovery": 60 / 70, "floor": 10.0, "UP_low": 86.0, "UP_high": 90.0, "meter.guesses": 64.0, "meter.steps": 0.0,
    }  # fmt: skip
    assert wanted.items() <= metrics.items()
    assert "meter.queries" not in metrics, "what was not metered is absent, never 0"


def test_without_its_controls_a_record_shows_no_rp() -> None:
    tracked = entry(record(RP=80.0))
    assert not {"RP", "RP_low", "advantage", "recovery"} & set(tracked.metrics)
    assert tracked.metrics["LP"] == 20.0
    assert "public baseline" in tracked.tags["lockbench.missing"]


def test_a_control_needs_none() -> None:
    assert entry(record("permuted-logits", RP=90.0)).metrics["RP"] == 90.0


def test_an_invalid_record_has_no_number_of_a_plugin() -> None:
    tracked = entry(record(status="invalid", RP=80.0, error="scores are not finite"), *calibration(), *baselines(30.0))
    assert "RP" not in tracked.metrics
    assert not tracked.ok
    assert tracked.tags["lockbench.status"] == "invalid"


def test_tags() -> None:
    tags = entry(record(flags=[Flag(name="a-flag", detail="x"), Flag(name="b-flag", detail="y")])).tags
    assert tags["lockbench.record"] == record().hash
    assert (tags["lockbench.status"], tags["lockbench.flags"]) == ("ok", "a-flag, b-flag")


def test_the_digest_moves_with_a_control_and_with_nothing_else() -> None:
    alone = entry(record())
    complete = entry(record(), *calibration(), *baselines(30.0))
    assert alone.digest == entry(record(error="another word")).digest
    assert alone.digest != complete.digest
    assert complete.digest != entry(record(UP=exactly(87.0)), *calibration(), *baselines(30.0)).digest


def test_what_is_endless_is_cut_and_names_are_plain() -> None:
    tracked = entry(record(attack_explicit={"words": "x" * 10_000}))
    assert len(tracked.params["attack.words"]) <= 500
    assert plain("meter.a b/c:é") == "meter.a_b_c__"
