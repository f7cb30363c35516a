"""The matrix of locks against attacks: which row, which value, hollow or not. All numbers by hand."""

from __future__ import annotations

import pytest
from example_records import baselines, calibration, record

from reports.rows.aggregate import rows
from reports.rows.matrix import Spot, matrix, step


def spot_of(lock: str, attack: str, *records: object, validation: dict[str, float | None] | None = None) -> Spot | None:
    table = matrix(rows([*records, *calibration()]), validation)  # type: ignore[list-item]
    (line,) = [line for line in (*table.methods, *table.controls) if line.lock_name == lock]
    return line.spots[table.attacks.index(attack)]


class TestStep:
    @pytest.mark.parametrize(
        ("share", "shade"),
        [(None, None), (-0.3, 0), (0.0, 0), (0.19, 0), (0.2, 1), (0.6, 3), (0.79, 3), (0.8, 4), (1.0, 4), (1.2, 4)],
    )
    def test_fifths(self, share: float | None, shade: int | None) -> None:
        assert step(share) == shade


class TestSpot:
    def test_broken_is_filled(self) -> None:
        # RP 80, public 30: the advantage is 50; recovery (80 − 20) / (90 − 20) = 0.857.
        spot = spot_of("modellock", "prompt-search", record(RP=80.0), record(replicate=1, RP=80.0), *baselines(30, 30))
        assert spot is not None
        assert (spot.kind, spot.hollow, spot.step, spot.settings) == ("broken", False, 4, 1)

    def test_as_good_without_the_model_is_hollow(self) -> None:
        # RP 80, public 80: the shade still says what is back, and the hollow cell that anybody gets as much.
        spot = spot_of("modellock", "prompt-search", record(RP=80.0), record(replicate=1, RP=80.0), *baselines(80, 80))
        assert spot is not None
        assert (spot.kind, spot.hollow, spot.step) == ("not broken", True, 4)

    def test_an_interval_with_five_points_inside_is_hollow_and_undecided(self) -> None:
        spot = spot_of("modellock", "prompt-search", record(RP=80.0), record(replicate=1, RP=40.0), *baselines(30, 30))
        assert spot is not None
        assert (spot.kind, spot.hollow) == ("undecided", True)

    def test_a_row_that_shows_no_rp_has_no_result(self) -> None:
        spot = spot_of("modellock", "prompt-search", record(RP=80.0))  # no public baseline
        assert spot is not None
        assert (spot.kind, spot.hollow, spot.step) == ("no result", False, None)

    def test_a_control_makes_no_claim(self) -> None:
        spot = spot_of("permuted-logits", "logit-surgery", *baselines(30))
        assert spot is not None
        assert (spot.kind, spot.hollow) == ("control", False)


class TestChoice:
    pool = (record(RP=60.0), record(RP=70.0, attack_explicit={"steps": 9}), *baselines(30))

    def test_the_highest_rp_stands(self) -> None:
        spot = spot_of("modellock", "prompt-search", *self.pool)
        assert spot is not None
        assert (spot.row.mean("RP"), spot.settings, spot.by) == (70.0, 2, "test")

    def test_the_furthest_above_its_own_baseline_stands_though_more_labels_reach_more(self) -> None:
        # 90 with labels that give anybody 85, or 80 without a label, where anybody has 10.
        few, none = {"share": 0.01}, {"share": 0.0}
        labelled = [record(RP=90.0, threat=few), record("none", "from-scratch", RP=85.0, threat=few)]
        unlabelled = [record(RP=80.0, threat=none), record("none", "from-scratch", RP=10.0, threat=none)]
        closed, opened = (
            record("destroyed", RP=10.0, LP=10.0, threat=none),
            record("permuted-logits", LP=3.0, threat=none),
        )
        spot = spot_of("modellock", "prompt-search", *labelled, *unlabelled, closed, opened)
        assert spot is not None
        assert (spot.row.mean("RP"), spot.settings) == (80.0, 2)

    def test_what_recovers_nothing_does_not_hide_what_does(self) -> None:
        few, none = {"share": 0.01}, {"share": 0.0}
        broken = [record(RP=90.0, LP=60.0, threat=few), record("none", "from-scratch", RP=60.0, threat=few)]
        useless = [record(RP=58.0, LP=60.0, threat=none), record("none", "from-scratch", RP=10.0, threat=none)]
        spot = spot_of("modellock", "prompt-search", *broken, *useless, *calibration())
        assert spot is not None
        assert (spot.row.mean("RP"), spot.by) == (90.0, "test")

    def test_judge_validation_images_decide_where_all_were_judged_there(self) -> None:
        keys = [r.row_key for r in self.pool[:2]]
        spot = spot_of("modellock", "prompt-search", *self.pool, validation={keys[0]: 65.0, keys[1]: 64.0})
        assert spot is not None
        assert (spot.row.mean("RP"), spot.settings, spot.by) == (60.0, 2, "judge-validation")
        spot = spot_of("modellock", "prompt-search", *self.pool, validation={keys[0]: 65.0, keys[1]: None})
        assert spot is not None
        assert (spot.row.mean("RP"), spot.by) == (70.0, "test")


class TestMatrix:
    def test_missing_combinations_are_empty_and_controls_apart(self) -> None:
        pool = [record("modellock", "prompt-search"), record("ntl", "finetune"), record("map", "none", RP=None)]
        table = matrix(rows([*pool, *calibration(), *baselines(30.0)]))
        assert set(table.attacks) == {"finetune", "prompt-search", "logit-surgery"}
        filled = {
            line.lock_name: {attack for attack, spot in zip(table.attacks, line.spots, strict=True) if spot is not None}
            for line in table.methods
        }
        assert filled == {"modellock": {"prompt-search"}, "ntl": {"finetune"}, "map": set()}
        assert {line.lock_name for line in table.controls} == {"destroyed", "permuted-logits"}
        assert {(line.UP.mean, line.LP.mean) for line in table.methods if line.UP and line.LP} == {(88.0, 20.0)}

    def test_attacks_that_break_most_come_first(self) -> None:
        pool = [record("ntl", "a", RP=40.0), record("ntl", "z", RP=39.0), record("map", "z", RP=80.0)]
        pool += [record(lock, attack, 1, RP=rp) for lock, attack, rp in (("ntl", "a", 40.0), ("map", "z", 80.0))]
        table = matrix(rows([*pool, *calibration(), *baselines(40.0, 40.0)]))
        assert table.attacks[:2] == ("z", "a")

    def test_nothing(self) -> None:
        table = matrix([])
        assert (table.attacks, table.methods, table.controls, table.spots) == ((), (), (), [])


def test_an_attack_that_adds_nothing_to_lp_is_hollow() -> None:
    """RP 95 is LP already: whatever the public baseline is, the attack opened nothing."""
    pool = [record(replicate=i, RP=95.0, LP=95.0, oracle=96.0) for i in (0, 1)]
    spot = spot_of("modellock", "prompt-search", *pool, *baselines(30, 30))
    assert spot is not None
    assert (spot.kind, spot.hollow, spot.step) == ("not broken", True, None)
