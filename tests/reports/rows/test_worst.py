"""What stands for a lock's worst case, and that every lock has an attack that was written against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_records import baselines, calibration, measured, record, the_row, world

from bench import plan, registry
from bench.plan import ensemble
from bench.records import Record
from bench.threat import ThreatModel
from reports.rows.aggregate import rows
from reports.rows.intervals import T, Value
from reports.rows.row import EnsembleCase, Row
from reports.rows.worst import candidates, furthest, worst, written_against
from reports.text.summary import verdict_of

METHODS = [name for name, info in sorted(registry.INSTALLED.all("lock").items()) if info.role == "method"]


@pytest.mark.parametrize("lock", METHODS)
def test_no_table_says_that_a_lock_has_no_adaptive_attack(lock: str) -> None:
    assert written_against().get(lock)


def test_attacks_are_written_against_locks_that_exist() -> None:
    assert written_against().keys() <= registry.INSTALLED.all("lock").keys()


def _row(
    attack: str, rp: float, advantage: Value, lp: float = 50.0, case: EnsembleCase | None = None, key: str = ""
) -> Row:
    base = the_row(world((80.0,), (30.0,)))
    values = {**base.values, "RP": Value(rp, (rp,)), "LP": Value(lp, (lp,)), "advantage": advantage}
    return replace(base, attack=attack, attack_name=attack, values=values, ensemble=case, row_key=key or attack)


def _over(mean: float, half: float, images: tuple[float, float] | None = None) -> Value:
    return Value(mean, (mean, mean), mean - half, mean + half, T, images)


def test_what_recovers_nothing_does_not_hide_what_breaks() -> None:
    weak, strong = _row("a", 48.0, _over(38.0, 3.0)), _row("b", 90.0, _over(30.0, 3.0))
    assert (weak.verdict, strong.verdict) == ("not broken by this attack", "broken")
    assert worst([weak, strong]) is strong
    assert "broken" in verdict_of(strong)


def test_an_interval_that_decides_nothing_does_not_hide_what_breaks() -> None:
    wide, strong = _row("a", 92.0, _over(32.0, 40.0)), _row("b", 90.0, _over(30.0, 3.0))
    assert wide.verdict == "undecided"
    assert worst([wide, strong]) is strong


def test_the_highest_advantage_stands_among_rows_of_one_kind() -> None:
    low, high = _row("a", 90.0, _over(30.0, 3.0)), _row("b", 80.0, _over(40.0, 3.0))
    assert worst([low, high]) is high


@pytest.mark.parametrize(("images", "word"), [((-3.0, 14.0), "undecided"), ((5.2, 5.9), "broken")])
def test_seeds_that_agree_to_the_last_image_leave_the_noise_of_the_images(
    images: tuple[float, float], word: str
) -> None:
    assert _row("a", 90.0, _over(5.56, 0.0, images)).verdict == word
    assert _row("a", 90.0, _over(5.56, 0.0)).verdict == "broken", "no other interval is known"
    assert _row("a", 90.0, _over(5.5555, 0.0002, images)).verdict == word, "numbers are rounded to four places"


def test_a_member_of_an_ensemble_stands_through_it_alone() -> None:
    """To compare it once more would choose on test images, though it was written against this lock."""
    adaptive = written_against()["modellock"][0]
    case = EnsembleCase(3, "weights", {0: adaptive}, {0: 90.0}, (), 2, row_keys=("taken in",))
    headline = _row("ensemble", 80.0, _over(50.0, 3.0), case=case)
    member, other = (_row(adaptive, 90.0, _over(60.0, 3.0), key=key) for key in ("taken in", "more labels"))
    assert candidates([headline, member, other]) == [headline, other]
    assert candidates([member, other]) == [member, other]


def test_an_attack_that_no_ensemble_takes_in_stands_beside_it() -> None:
    case = EnsembleCase(4, "leaked", {0: "a"}, {0: 31.2}, (), 2, row_keys=("a",))
    headline, strong = _row("ensemble", 61.2, _over(1.2, 3.0), case=case), _row("finetune", 90.2, _over(30.2, 0.5))
    assert worst([headline, strong]) is strong
    none = replace(_row("none", 50.0, _over(0.0, 1.0)), attack_purpose="no-attack")
    assert candidates([headline, none]) == [headline]


def test_the_furthest_is_above_its_baseline_and_not_merely_high() -> None:
    low = replace(_row("a", 85.0, _over(1.0, 0.5)), role="method")
    low.values["public_baseline"] = Value(84.0, (84.0,))  # type: ignore[index]
    high = _row("b", 60.0, _over(30.0, 3.0))
    high.values["public_baseline"] = Value(30.0, (30.0,))  # type: ignore[index]
    assert furthest([low, high], {})[0] is high
    assert furthest([low, high], {"a": 90.0, "b": 59.0}) == (high, True)
    assert furthest([low, high], {"a": 90.0, "b": 30.0}) == (high, False), "a breaks nothing, and b does"


def test_a_member_measured_on_some_seeds_alone_is_not_hidden_by_the_others() -> None:
    """Where it did not run, weak members stand for the ensemble: their mean is no worst case."""
    params = ensemble.read().threat("weights-unlabelled").params
    threat = ThreatModel(**{name.partition(".")[2]: value for name, value in params.items()}).values()

    def member(attack: str, RP: float, replicate: int) -> Record:
        planned = plan.make_cell("modellock", attack, "digits", "vit", params)
        own = record(
            "modellock", attack=attack, replicate=replicate, RP=RP, threat=threat, RP_validation=measured(RP), LP=60.0
        )
        cell = own.cell.model_copy(update={"budget": planned.budget})
        return own.model_copy(update={"cell": cell, "row_key": cell.row_key()})

    weak = [member(attack, 30.0 + seed / 3, seed) for seed in range(5) for attack in ("norm-adaptation", "tent")]
    strong = [member("prompt-search", 90.0 + seed / 3, seed) for seed in range(2)]
    beside = [r.model_copy() for r in calibration()] + baselines(*[57.0] * 5)
    own = [r.cell.model_copy(update={"threat": ThreatModel(**threat)}) for r in beside]
    beside = [r.model_copy(update={"cell": c, "row_key": c.row_key()}) for r, c in zip(beside, own, strict=True)]
    table = [row for row in rows([*weak, *strong, *beside]) if row.role == "method"]
    stands = worst(table)
    assert stands is not None
    assert (stands.attack_name, stands.verdict) == ("prompt-search", "broken")
    assert "NOT BROKEN" not in verdict_of(stands)
