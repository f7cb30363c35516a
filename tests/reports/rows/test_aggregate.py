"""Rows from made-up records: hand-computed values, and the rules on what may be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from example_records import CURVE, N, baselines, calibration, exactly, printed, record, ref, the_row, world

from bench.records import Flag, Record
from reports.rows.aggregate import half_recovery, order, rows
from reports.rows.intervals import IMAGES, NESTED, T
from reports.rows.planned import unmeasured
from reports.text.captions import captions, grouped
from reports.text.tables import as_object, render


class TestNumbers:
    def test_recovery_and_advantage_by_hand(self) -> None:
        row = the_row(world((80.0, 60.0), (30.0, 24.0)))
        assert row.values["recovery"].per_seed == pytest.approx((60 / 70, 40 / 70))  # type: ignore[union-attr]
        assert row.mean("recovery") == pytest.approx(50 / 70)
        assert row.values["advantage"].per_seed == (50.0, 36.0)  # type: ignore[union-attr]
        assert row.mean("advantage") == 43.0
        assert row.mean("public_baseline") == 27.0

    def test_recovery_starts_at_the_floor_where_lp_is_below_it(self) -> None:
        row = the_row(world((50.0,), LP=2.0, floor=10.0))
        assert row.mean("recovery") == pytest.approx(40 / 80)

    def test_recovery_is_not_clipped(self) -> None:
        assert the_row(world((97.0,))).mean("recovery") == pytest.approx(77 / 70)
        assert the_row(world((6.0,))).mean("recovery") == pytest.approx(-14 / 70)

    def test_recovery_needs_ten_points_of_headroom(self) -> None:
        assert the_row(world(LP=80.0, oracle=90.0)).mean("recovery") == 0.0
        assert the_row(world(LP=80.1, oracle=90.0)).mean("recovery") is None
        assert the_row(world(LP=80.1, oracle=90.0)).mean("advantage") == 50.0

    def test_the_floor_is_a_public_baseline_too(self) -> None:
        row = the_row(world((80.0,), (4.0,)))
        assert row.mean("public_baseline") == 10.0
        assert row.mean("advantage") == 70.0

    def test_the_baseline_is_that_of_the_same_replicate_and_data_budget(self) -> None:
        other = [record("none", "from-scratch", i, RP=70.0, threat={"share": 0.1}) for i in range(2)]
        known = [record("modellock", "from-scratch", 0, RP=26.0, threat={"known": "none", "access": "none"})]
        row = the_row([*world((80.0, 60.0), (0.0, 24.0)), *other, *known])
        # At replicate 0 the better of two baselines of this budget, whatever their lock; never the richer budget's.
        assert row.values["public_baseline"].per_seed == (26.0, 24.0)  # type: ignore[union-attr]

    def test_t_interval_in_closed_form(self) -> None:
        # Two values a, b: mean ± tan(0.475 π) |a − b| / 2, the t distribution with one degree being Cauchy's.
        value = the_row(world((80.0, 60.0), (30.0, 24.0))).values["RP"]
        assert value is not None
        arm = np.tan(0.475 * np.pi) * 10.0
        assert (value.low, value.high) == pytest.approx((70 - arm, 70 + arm))
        assert value.kind == T
        assert value.images == (68.0, 72.0)

    def test_t_interval_of_three(self) -> None:
        value = the_row(world((80.0, 60.0, 70.0), (30.0, 24.0, 24.0))).values["RP"]
        assert value is not None
        # 2 degrees of freedom: t = (2p − 1) sqrt(2 / (4 p (1 − p))) at p = 0.975.
        arm = 0.95 * np.sqrt(2 / (4 * 0.975 * 0.025)) * 10 / np.sqrt(3)
        assert (value.low, value.high) == pytest.approx((70 - arm, 70 + arm))

    def test_one_seed_shows_its_image_interval(self) -> None:
        row = the_row(world())
        value = row.values["RP"]
        assert value is not None
        assert (value.low, value.high, value.kind) == (78.0, 82.0, IMAGES)
        assert row.values["advantage"].kind is None  # type: ignore[union-attr]
        assert row.broken is None
        assert row.verdict == "undecided"

    def test_five_seeds_resample_seeds_and_images(self) -> None:
        row = the_row(world((80.0,) * 5, (30.0,) * 5))
        value, advantage = row.values["RP"], row.values["advantage"]
        assert value is not None
        assert advantage is not None
        assert value.kind == advantage.kind == NESTED
        # Equal seeds leave the images alone, which all of them share: standard error 2.
        assert value.high - value.low == pytest.approx(2 * 1.96 * 2, rel=0.15)  # type: ignore[operator]
        spread = the_row(world((60.0, 70.0, 80.0, 90.0, 100.0), (30.0,) * 5)).values["RP"]
        assert spread is not None
        assert spread.half > 3 * value.half  # type: ignore[operator]

    def test_meters_that_a_seed_does_not_know_are_null(self) -> None:
        records = world((80.0, 60.0), (30.0, 24.0))
        records[1].meter = {"steps": 10, "guesses": None, "queries": None}
        assert the_row(records).meter == {"steps": 5.0, "guesses": None, "queries": None}


def evidence_of(right: Mapping[str, np.ndarray]) -> Callable[[Record], dict[str, np.ndarray]]:
    """Evidence in which the first class is true everywhere; ``right`` by ``LOCK/pred``."""

    def evidence(r: Record) -> dict[str, np.ndarray]:
        arrays = {
            f"pred/{k.split('/')[1]}": (~v).astype(int) for k, v in right.items() if k.startswith(r.cell.lock.name)
        }
        order = np.arange(N) if r.cell.lock.name == "modellock" else np.arange(N)[::-1]
        return {"test_index": order, "test_labels": np.zeros(N, int)} | {k: v[order] for k, v in arrays.items()}

    return evidence


class TestPairedBootstrap:
    def test_pairing_is_by_image(self) -> None:
        attacked = np.arange(N) < 0.8 * N
        # The baseline is right on images the attack is right on too: the difference varies as one proportion of 50 %.
        within = evidence_of({"modellock/RP": attacked, "none/RP": np.arange(N) < 0.3 * N})
        value = the_row(world(), within).values["advantage"]
        assert value is not None
        assert value.low is not None
        assert value.high is not None
        assert value.kind == IMAGES
        assert value.high - value.low == pytest.approx(2 * 1.96 * 100 * np.sqrt(0.25 / N), rel=0.1)
        # Right on other images but for 10 %: +1 on 70 % and −1 on 20 %, of variance 0.9 − 0.5².
        apart = evidence_of({"modellock/RP": attacked, "none/RP": np.arange(N) >= 0.7 * N})
        wide = the_row(world(), apart).values["advantage"]
        assert wide is not None
        assert wide.high is not None
        assert wide.low is not None
        assert wide.high - wide.low == pytest.approx(2 * 1.96 * 100 * np.sqrt((0.9 - 0.25) / N), rel=0.1)

    def test_evidence_that_does_not_reproduce_the_number_is_not_used(self) -> None:
        wrong = evidence_of({"modellock/RP": np.arange(N) < 0.5 * N, "none/RP": np.arange(N) < 0.3 * N})
        assert the_row(world(), wrong).values["advantage"].kind is None  # type: ignore[union-attr]

    def test_recovery_has_an_interval_of_its_own(self) -> None:
        right = {"RP": 0.8, "LP": 0.2, "oracle": 0.9}
        own = evidence_of({f"modellock/{k}": np.arange(N) < v * N for k, v in right.items()})
        value = the_row(world(), own).values["recovery"]
        assert value is not None
        assert value.low is not None
        assert value.high is not None
        assert value.low < 60 / 70 < value.high
        assert value.high - value.low < 0.2


class TestVerdict:
    @pytest.mark.parametrize(
        ("rp", "public", "verdict"),
        [
            ((80.0, 80.5), (30.0, 30.0), "broken"),
            ((30.0, 30.5), (30.0, 30.0), "not broken by this attack"),
            ((80.0, 40.0), (30.0, 30.0), "undecided"),
            ((36.0, 36.5), (30.0, 30.0), "undecided"),
        ],
    )
    def test_verdict(self, rp: tuple[float, ...], public: tuple[float, ...], verdict: str) -> None:
        row = the_row(world(rp, public))
        assert row.verdict == verdict
        assert row.broken is (verdict == "broken")

    def test_no_lock_is_broken_by_less_than_its_own_lp(self) -> None:
        row = the_row(world((50.0, 50.5), (30.0, 30.0), LP=60.0))
        assert row.broken is False
        assert row.verdict == "not broken by this attack"

    def test_controls_are_unranked_and_last(self) -> None:
        table = rows([*world((80.0, 80.5), (30.0, 30.0)), record(attack="none", RP=None)])
        assert [row.role == "control" for row in table] == [False, True, True, True, True]
        assert {row.verdict for row in table[1:]} == {"control"}

    def test_the_lock_that_holds_best_comes_first_and_its_worst_attack_leads(self) -> None:
        strong = [
            record(RP=35.0, attack="b", lock_explicit={"decoys": "fixed"}),
            record(RP=50.0, attack="a", lock_explicit={"decoys": "fixed"}),
        ]
        table = [r for r in rows([*world(), record(RP=20.0, attack="c"), *strong]) if r.role != "control"]
        assert [(r.lock, r.attack) for r in table] == [
            ("modellock[decoys=fixed]", "a"),
            ("modellock[decoys=fixed]", "b"),
            ("modellock", "prompt-search"),
            ("modellock", "c"),
        ]


class TestReplicates:
    def test_the_newest_record_of_a_replicate_counts(self) -> None:
        old, new = record(RP=11.0, created="2026-01-01"), record(RP=77.0, created="2026-02-01")
        row = the_row([new, old, *calibration(), *baselines(30.0)])
        assert row.values["RP"].per_seed == (77.0,)  # type: ignore[union-attr]

    def test_locks_that_noise_cannot_tell_apart_share_a_range_of_ranks(self) -> None:
        reached = {"far": (80.0, 81.0, 79.0), "near": (50.0, 51.0, 49.5), "nearer": (49.5, 50.0, 50.5)}
        locks = [record(lock, replicate=i, RP=rp) for lock, values in reached.items() for i, rp in enumerate(values)]
        records = [*locks, *calibration(), *baselines(30.0, 30.0, 30.0)]
        text = "\n".join(captions(grouped(rows(records))[0]))
        assert "nearer (edit) 1–2" in text
        assert "near (edit) 1–2" in text
        assert "far (edit) 3" in text
        assert r"\textbf{2" not in render(rows(records), "latex"), "no lock is best beyond noise"

    def test_latex_sets_the_best_lock_in_bold_and_only_where_noise_leaves_no_doubt(self) -> None:
        reached = {"far": (80.0, 81.0, 79.0), "near": (50.0, 51.0, 49.5)}
        locks = [record(lock, replicate=i, RP=rp) for lock, values in reached.items() for i, rp in enumerate(values)]
        bold = [
            line for line in render(rows([*locks, *calibration(), *baselines(30.0, 30.0, 30.0)]), "latex").splitlines()
            if r"\textbf{" in line and line.endswith(r"\\")
        ]  # fmt: skip
        assert [line.split(" & ")[0] for line in bold] == ["near"]

    def test_keys_of_one_lock_are_told_apart(self) -> None:
        records = [*calibration(), *baselines(30.0, 30.0, 30.0)]
        for key, reached in (("edit", (80.0, 81.0, 79.0)), ("blockwise", (50.0, 51.0, 49.5))):
            for i, rp in enumerate(reached):
                r = record(replicate=i, RP=rp, created=key)
                r.cell.key = ref("key", key)
                records.append(r.model_copy(update={"row_key": r.cell.row_key()}))
        table = rows(records)
        assert [r.key for r in table if r.lock == "modellock"] == ["blockwise", "edit"]
        text = "\n".join(captions(grouped(table)[0]))
        assert "modellock (blockwise) 1, modellock (edit) 2" in text
        assert "modellock (edit)" in printed(table)

    def test_what_a_lock_costs_stands_under_its_table(self) -> None:
        costs = {"key_ms_per_image": 20.0, "key_megabytes": 5.5, "extra_parameters": 65}
        records = [record(replicate=i, lock_meter={"seconds": 30.0 + 2 * i, "steps": 500}, **costs) for i in (0, 1)]
        (row,) = rows(records)
        assert as_object(row)["lock_cost"] == {**costs, "seconds": 31.0, "steps": 500.0}
        text = "\n".join(captions(grouped([row])[0]))
        assert "31 s, 500 steps, +65 parameters, key 20.0 ms an image, key 5.5 MB of weights" in text
        assert "Cost of the lock" not in "\n".join(captions(grouped(rows([record()]))[0]))

    def test_differences_are_judged_across_the_whole_table(self) -> None:
        """Two locks that alone would differ at 5 % do not once many others are compared beside them."""
        near, next_to = (48.0, 50.0, 52.0), (56.0, 58.0, 60.5)
        few = {"a": near, "b": next_to}
        many = few | {f"c{i}": (53.0 + i / 9, 55.0, 57.0) for i in range(6)}
        text = {}
        for name, reached in (("few", few), ("many", many)):
            locks = [record(k, replicate=i, RP=rp) for k, values in reached.items() for i, rp in enumerate(values)]
            records = [*locks, *calibration(), *baselines(30.0, 30.0, 30.0)]
            text[name] = "\n".join(captions(grouped(rows(records))[0]))
        assert "a (edit) 1, b (edit) 2" in text["few"] or "b (edit) 2, a (edit) 1" in text["few"]
        assert "a (edit) 1–" in text["many"]

    def test_planned_cells_that_nobody_measured_stand_in_the_table(self) -> None:
        done = [record(replicate=0), record(replicate=1)]
        request = [r.cell for r in (*done, record(replicate=2), record(attack="finetune"))]
        lacking = unmeasured(request, done)
        assert [(r.attack_name, r.seeds, r.verdict) for r in lacking] == [
            ("prompt-search", (2,), "not measured"), ("finetune", (0,), "not measured"),
        ]  # fmt: skip
        assert all(value is None for row in lacking for value in row.values.values())
        text = printed(order([*rows(done), *lacking]))
        assert "not" in text
        assert "measured" in text

    def test_tuning_records_are_no_results(self) -> None:
        tuned = record(replicate=1000, RP=1.0, split="judge-validation")
        assert the_row([*world(), tuned]).seeds == (0,)
        assert rows([tuned]) == []

    def test_failed_cells_are_shown_with_their_error(self) -> None:
        failed = record(replicate=1, RP=None, status="failed", error="RuntimeError: loss | is not finite\nat step 3")
        table = rows([*world(), failed])
        (shown,) = [r for r in table if r.status == "failed"]
        assert shown.seeds == (1,)
        assert as_object(shown)["error"] == "seed 1: RuntimeError: loss | is not finite\nat step 3"
        assert [r.seeds for r in table if r.row_key == shown.row_key] == [(0,), (1,)]
        for fmt in ("md", "csv", "latex"):
            assert "is not finite" in render(table, fmt)
        assert "failed" in printed(table)

    def test_an_invalid_cell_shows_no_rp(self) -> None:
        row = the_row([record(status="invalid", error="AccessDenied: key"), *calibration(), *baselines(30.0)])
        assert (row.status, row.mean("RP")) == ("invalid", None)

    def test_flags_are_counted(self) -> None:
        records = world((80.0, 60.0), (30.0, 24.0))
        records[1].flags = [
            Flag(name="lp-below-floor", detail="LP 2 < 10"),
            Flag(name="lp-below-floor", detail="again"),
        ]
        assert as_object(the_row(records))["flags"] == {"lp-below-floor": 1}

    def test_a_caption_says_whose_flag_it_quotes(self) -> None:
        records = world()
        flagged = [records[0], records[-1]]
        for r, value in zip(flagged, ("LP 2", "LP 3"), strict=True):
            r.flags = [Flag(name="lp-below-floor", detail=value)]
        text = "\n".join(captions(grouped(rows(records))[0]))
        assert "lp-below-floor: LP 2 for the first (" in text or "lp-below-floor: LP 3 for the first (" in text
        flagged[1].flags = flagged[0].flags
        assert "lp-below-floor: LP 2 (" in "\n".join(captions(grouped(rows(records))[0]))

    def test_explicit_parameters_are_part_of_the_name(self) -> None:
        row = the_row([record(lock_explicit={"decoys": "fixed", "alpha": 0.5})])
        assert row.lock == "modellock[alpha=0.5,decoys=fixed]"


class TestHalfRecovery:
    def test_smallest_reading_at_half(self) -> None:
        assert half_recovery(CURVE, lp=20.0, oracle=90.0) == 4
        assert half_recovery(CURVE, lp=20.0, oracle=90.0, meter_field="edited") == 128
        assert half_recovery(CURVE, lp=20.0, oracle=89.0) == 2

    def test_never_and_nothing_lost(self) -> None:
        assert half_recovery(CURVE, lp=80.0, oracle=90.0) is None
        assert half_recovery(CURVE, lp=90.0, oracle=80.0) is None
        assert half_recovery(CURVE, lp=20.0, oracle=90.0, meter_field="queries") is None


def test_a_pair_has_a_table_of_its_own_and_says_whether_it_counts() -> None:
    outcome = record("ntl", "none", scenario="digits:fonts", RP=None, LP=20.0, oracle=39.0)
    outcome.cell.key.name = "domain"
    outcome.row_key = outcome.cell.row_key()
    table = rows([outcome])
    text = render(table, "md")
    assert "Source and target" in text
    assert "does not count" in text, "39 is less than 4 times the floor of 10"
    outcome.oracle = exactly(41.0)
    assert "the pair counts" in render(rows([outcome]), "latex")
    assert "ST-D" in printed(rows([outcome]))
    assert as_object(rows([outcome])[0])["domain"]["source_drop"]["mean"] == pytest.approx(3)
