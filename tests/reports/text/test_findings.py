"""Sentences that say what a matrix or a chart comes to, computed from rows by hand."""

from __future__ import annotations

from example_records import CURVE, baselines, calibration, exactly, record, the_row, world

from bench.records import Condition
from reports.page import curves
from reports.page.charts import trade_off
from reports.rows.aggregate import rows
from reports.rows.matrix import matrix
from reports.text import findings
from reports.text.groups import grouped


def sentence(*records: object) -> str:
    return findings.of_matrix(matrix(rows([*records, *calibration()])))  # type: ignore[list-item]


def both(lock: str, rp: float) -> list[object]:
    """Two seeds alike, so that the interval is a point."""
    return [record(lock, replicate=i, RP=rp) for i in (0, 1)]


class TestMatrix:
    def test_one_of_two_is_broken(self) -> None:
        text = sentence(*both("modellock", 80.0), *both("ntl", 31.0), *baselines(30.0, 30.0))
        reach = "prompt-search takes modellock (edit) from LP 20.0 to 80.0; without the model 30.0"
        assert text == f"1 of 2 locks is broken; {reach}"

    def test_the_furthest_is_among_the_broken(self) -> None:
        """A lock whose public baseline does as well is not named before one that an attack breaks."""
        pool = [*both("modellock", 60.0), *baselines(30.0, 30.0)]
        pool += [record("ntl", replicate=i, RP=85.0, threat={"share": 0.5}) for i in (0, 1)]
        pool += [record("none", "from-scratch", i, RP=85.0, threat={"share": 0.5}) for i in (0, 1)]
        wanted = "1 of 2 locks is broken; prompt-search takes modellock (edit) from LP 20.0 to 60.0"
        assert sentence(*pool).startswith(wanted)

    def test_all_and_none(self) -> None:
        assert sentence(*both("modellock", 80.0), *baselines(30.0, 30.0)).startswith("The lock is broken: ")
        unbroken = sentence(*both("modellock", 31.0), *both("ntl", 30.0), *baselines(30.0, 30.0))
        assert unbroken.startswith("None of 2 locks is broken by these attacks; ")
        assert sentence(*both("modellock", 31.0), *baselines(30.0, 30.0)).startswith("The lock is not broken")

    def test_undecided_is_neither(self) -> None:
        pool = [record(RP=80.0), record(replicate=1, RP=40.0), *baselines(30.0, 30.0)]
        assert sentence(*pool).startswith("No lock is shown broken; ")

    def test_a_lock_that_is_open_anyway_is_not_what_an_attack_opened(self) -> None:
        """An LP of 90 leaves nothing to recover; the attack that recovers a share is named, at a lower RP."""
        pool = [record("ntl", replicate=i, RP=90.0, LP=90.0) for i in (0, 1)]
        text = sentence(*pool, *both("modellock", 31.0), *baselines(30.0, 30.0))
        assert "takes modellock (edit) from LP 20.0 to 31.0" in text

    def test_without_results(self) -> None:
        assert sentence(record()).startswith("No lock has a result")
        assert sentence() == "Controls only"


class TestCharts:
    def test_a_curve_says_what_is_reached_and_when(self) -> None:
        (group,) = grouped(rows(world((80.0,), (30.0,), curve=CURVE)))
        (chart,) = curves.recovery_curves(group)
        wanted = "modellock (edit) on digits: prompt-search (a) reaches 80.0 after 9 guesses; without the model 30.0"
        assert chart.title == wanted

    def test_a_curve_of_a_lock_that_is_open_anyway_names_the_other(self) -> None:
        pool = [record("ntl", RP=95.0, LP=95.0, oracle=96.0, curve=CURVE), *world((80.0,), (30.0,), curve=CURVE)]
        (group,) = grouped(rows(pool))
        (chart,) = curves.recovery_curves(group)
        assert chart.title.startswith("modellock (edit) on digits: ")

    def test_one_guess_is_not_guesses(self) -> None:
        row = the_row(world((10.0,), (30.0,), curve=CURVE))
        chart = curves.best_so_far(row, "guesses")
        assert chart is not None
        assert "reaches 10.0 after 1 guess;" in chart.title

    def test_a_curve_that_never_gets_there_names_no_cost(self) -> None:
        row = the_row(world((85.0,), (30.0,), curve=CURVE))
        chart = curves.best_so_far(row, "guesses")
        assert chart is not None
        assert chart.title == "modellock (edit) on digits: prompt-search reaches 85.0; without the model 30.0"

    def test_cost_against_strength(self) -> None:
        (group,) = grouped(rows([*world(), record("ntl", RP=25.0)]))
        chart = trade_off(group, {})
        assert chart is not None
        assert chart.title == "ntl (edit) opens least, to RP 25.0 at UP 88.0; modellock (edit) furthest, to 80.0"
        (group,) = grouped(rows(world()))
        chart = trade_off(group, {})
        assert chart is not None
        assert chart.title == "modellock (edit) keeps UP 88.0; prompt-search reaches 80.0"

    def test_key_conditions(self) -> None:
        conditions = [("right", "", 88.0), ("none", "", 20.0), ("near", "a", 70.0), ("wrong", "b", 30.0)]
        conditions = [Condition(kind=k, label=x, what=x, accuracy=exactly(v)) for k, x, v in conditions]  # type: ignore[arg-type]
        row = the_row(world(conditions=conditions))
        wanted = "modellock (edit): 88.0 with the right key, 20.0 without a key, at most 70.0 with another (near/a)"
        assert findings.of_conditions(row) == wanted

    def test_a_budget(self) -> None:
        low, high = the_row(world((30.0,))), the_row(world((70.0,)))
        text = findings.of_budget([(0.01, low), (0.1, high)], "labelled share", "ntl × finetune")
        assert text == "ntl × finetune: RP 30.0 at labelled share 0.01, 70.0 at 0.1; without the model 30.0"
