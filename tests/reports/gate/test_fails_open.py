"""Every way in which a gate could say "held" without having looked: each must fail, say so, and name the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from example_worlds import World

from bench.errors import UserError
from bench.records import SCHEMA, Flag
from reports.gate import comparable
from reports.gate.asked import Asked, Remake
from reports.gate.lines import Line
from reports.gate.rule import Comparison, compare, judge
from reports.gate.snapshot import LATER, Snapshot, check_complete, snapshot

EIGHT, TWO = range(8), (0, 1)
MINE = Remake(Path("my runs"), "mine")


def taken(world: World) -> Snapshot:
    return snapshot(world.records, world.evidence)


@pytest.fixture(scope="module")
def _before() -> Snapshot:
    return taken(World(EIGHT, noise=1))


@pytest.fixture
def before(_before: Snapshot) -> Snapshot:
    return _before.model_copy(deep=True)


@pytest.fixture
def after() -> Snapshot:
    return taken(World(TWO, noise=10))


def asked(snapshot: Snapshot, *seeds: int, suite: str = "mine") -> Asked:
    return Asked(suite, {row.row_key: frozenset(seeds) for row in snapshot.rows})


def what(comparison: Comparison) -> set[str]:
    return {finding.what for finding in [*comparison.certain, *comparison.incomparable]}


class TestSeeds:
    @pytest.mark.parametrize("whole_suite", [True, False])
    def test_a_seed_that_was_asked_for_and_is_missing_everywhere(
        self, before: Snapshot, after: Snapshot, whole_suite: bool
    ) -> None:
        wanted = asked(before, 0, 1, 2, 4) if whole_suite else Asked(seeds=frozenset({0, 1, 2, 4}))
        comparison = compare(before, after, asked=wanted, remake=MINE)
        assert comparison.exit_status == 1
        assert what(comparison) == {"seed 2, 4 missing from the candidate"}
        command = "bench run --suite mine --seeds {}:{} --store 'my runs'"
        both = f"Run it: {command.format(2, 3)} && {command.format(4, 5)}"
        assert {c.remedy for c in comparison.certain} == {both}

    def test_a_suite_whose_rows_have_other_seeds_each(self, before: Snapshot, after: Snapshot) -> None:
        rows = {row.row_key: frozenset(TWO) for row in before.rows}
        first = before.rows[0]
        comparison = compare(before, after, asked=Asked("mine", rows | {first.row_key: frozenset({0, 1, 5})}))
        assert [(c.name, c.what) for c in comparison.certain] == [(first.words(), "seed 5 missing from the candidate")]

    def test_seeds_that_were_not_asked_for_do_not_count(self, before: Snapshot) -> None:
        stale = taken(World(range(4), noise=10, locks={"modellock": (88.0, 25.0)}))
        for row in stale.rows:
            for number in (2, 3):
                row.seeds[number].values["LP"] = 25.0
        comparison = compare(before, stale, asked=asked(before, *TWO))
        assert comparison.seeds == (8, 2)

    def test_no_record_of_the_seeds_at_all(self, before: Snapshot) -> None:
        with pytest.raises(UserError, match="nothing with these seeds") as caught:
            compare(before, before.model_copy(update={"rows": []}), asked=asked(before, 8, 9), remake=MINE)
        assert "--seeds 8:10" in caught.value.remedy

    def test_without_a_suite_the_remedy_runs_the_very_row(self, before: Snapshot, after: Snapshot) -> None:
        gone = next(row for row in after.rows if (row.lock_name, row.attack_name) == ("modellock", "logit-surgery"))
        after.rows.remove(gone)
        (finding,) = compare(before, after, remake=Remake(Path("s"), None, 2)).certain
        for words in ("--lock modellock", "--attack logit-surgery", "--seeds 0:2", "--threads 2", "--store s"):
            assert words in finding.remedy


class TestRows:
    def test_a_row_that_dropped_out_of_the_suite(self, before: Snapshot, after: Snapshot) -> None:
        before.suite = "mine"
        dropped = before.rows[0]
        wanted = asked(before, *TWO)
        comparison = compare(
            before, after, asked=Asked("mine", {k: v for k, v in (wanted.rows or {}).items() if k != dropped.row_key})
        )
        assert comparison.exit_status == 2
        (finding,) = comparison.incomparable
        assert finding.name == dropped.words()
        assert "dropped out of suite mine" in finding.what
        assert "bench baseline save" in finding.remedy

    def test_a_row_of_the_suite_that_the_snapshot_lost(self, before: Snapshot, after: Snapshot) -> None:
        wanted = asked(before, *TWO)
        lost = before.rows.pop(0)
        names = {lost.row_key: "digits · the lost row"}
        comparison = compare(before, after, asked=Asked("mine", wanted.rows, names=names))
        assert comparison.exit_status == 2
        assert [c.name for c in comparison.incomparable] == ["digits · the lost row"]

    def test_nothing_on_both_sides_is_not_held(self, before: Snapshot, after: Snapshot) -> None:
        control = [row for row in before.rows if (row.lock_name, row.attack_name) == ("destroyed", "none")]
        assert len(control) == 1  # it has no line: a control has no UP and no LP
        before.rows = control
        assert "no number is on both sides, so nothing was judged" in what(compare(before, after))


class TestValues:
    @pytest.mark.parametrize("name", ["UP", "LP", "RP", "oracle", "victim_authorised"])
    @pytest.mark.parametrize("seeds", [(3,), EIGHT])
    def test_a_value_lost_from_the_snapshot(
        self, before: Snapshot, after: Snapshot, name: str, seeds: tuple[int, ...]
    ) -> None:
        row = next(row for row in before.rows if (row.lock_name, row.attack_name) == ("modellock", "prompt-search"))
        for number in seeds:
            del row.seeds[number].values[name]
        with pytest.raises(UserError, match=f"lacks {name} for some seed"):
            compare(before, after)
        with pytest.raises(UserError, match=f"lacks {name} for some seed"):
            check_complete(before)

    @pytest.mark.parametrize("name", ["UP", "LP", "RP", "oracle"])
    def test_a_value_lost_from_the_candidate(self, before: Snapshot, after: Snapshot, name: str) -> None:
        row = next(row for row in after.rows if (row.lock_name, row.attack_name) == ("modellock", "prompt-search"))
        del row.seeds[1].values[name]
        comparison = compare(before, after)
        assert (comparison.exit_status, what(comparison)) == (1, {f"{name} no longer measured"})

    def test_a_value_that_both_lost(self, before: Snapshot, after: Snapshot) -> None:
        for pool in (before, after):
            for row in pool.rows:
                for seed in row.seeds.values():
                    seed.values.pop("UP")
        with pytest.raises(UserError, match="lacks UP"):
            compare(before, after)

    def test_validation_that_some_seeds_lost(self, before: Snapshot, after: Snapshot) -> None:
        row = next(row for row in before.rows if row.attack_name == "prompt-search")
        row.seeds[0].validation = 90.0
        with pytest.raises(UserError, match="lacks RP on validation images for some seed"):
            compare(before, after)

    def test_a_seed_that_one_row_of_the_snapshot_lost(self, after: Snapshot) -> None:
        nine = taken(World(range(9), noise=1))
        del nine.rows[0].seeds[8]
        with pytest.raises(UserError, match="has other seeds than"):
            compare(nine, after)

    def test_another_number_of_test_images(self, before: Snapshot, after: Snapshot) -> None:
        before.rows[0].seeds[3].n["test"] = 10
        with pytest.raises(UserError, match="has 10 test images"):
            compare(before, after)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda seed: seed.right.clear(), "no evidence by test image in the snapshot"),
            (lambda seed: seed.images.clear(), "no digest of its test images in the snapshot"),
            (lambda seed: setattr(seed, "data", ""), "no data fingerprint in the snapshot"),
        ],
    )
    def test_a_check_that_is_blind_says_so(
        self, before: Snapshot, after: Snapshot, change: Callable, words: str
    ) -> None:  # type: ignore[type-arg]
        change(before.rows[0].seeds[0])
        (warning,) = compare(before, after).warnings
        assert warning.startswith(before.rows[0].words())
        assert words in warning


@pytest.mark.parametrize("flag", ["not-finite", "wrong-shape", "attack-denied"])
def test_numbers_with_a_flag_that_denies_them(before: Snapshot, after: Snapshot, flag: str) -> None:
    after.rows[0].seeds[1].flags.append(flag)
    comparison = compare(before, after)
    assert comparison.exit_status == 1
    assert [c.what.partition(",")[0] for c in comparison.certain] == [f"seed 1 has the flag {flag}"]
    before.rows[0].seeds[4].flags.append(flag)
    with pytest.raises(UserError, match=f"has the flag {flag} in seed 4"):
        compare(before, after)
    with pytest.raises(UserError, match=f"seed 4 has the flag {flag}"):
        check_complete(before)


def test_an_invalid_record_is_named_by_its_flag() -> None:
    world = World(TWO, noise=10)
    world.records[0].status = "invalid"
    world.records[0].flags = [Flag(name="not-finite", detail="3 weights")]
    seeds = [seed for row in taken(world).rows for seed in row.seeds.values() if seed.status == "invalid"]
    assert [(seed.error, seed.flags) for seed in seeds] == [("not-finite: 3 weights", ["not-finite"])]


def test_this_schema_is_known_to_the_gate() -> None:
    """Whoever raises the schema says whether older numbers still mean the same."""
    assert SCHEMA in comparable.SCHEMAS


class TestSurroundings:
    def test_other_libraries_machines_threads_and_versions_are_named(self, before: Snapshot, after: Snapshot) -> None:
        assert not compare(before, after).warnings
        before.versions, after.versions = {"torch": "2.15", "numpy": "2.4"}, {"torch": "2.16", "numpy": "2.4"}
        before.machine, after.machine = "x86_64 cpu", "arm64 cpu"
        before.threads, after.threads, before.lockbench = 1, 2, "0.0.9"
        comparison = compare(before, after)
        assert comparison.exit_status == 0
        words = " ".join(comparison.warnings)
        for change in ("torch is 2.15 in the snapshot, 2.16 in", "machine is x86_64 cpu in the snapshot, arm64 cpu in",
                       "threads are 1 in the snapshot, 2 in", "LockBench is 0.0.9 in"):  # fmt: skip
            assert change in words
        assert "numpy" not in words

    def test_records_of_two_versions_are_both_named(self) -> None:
        world = World(TWO, noise=1)
        for i, record in enumerate(world.records):
            record.provenance.versions = {"torch": "2.15" if i else "2.14"}
            record.provenance.threads = 1
        assert (taken(world).versions, taken(world).threads) == ({"torch": "2.14, 2.15"}, 1)


class TestPower:
    def test_held_says_what_could_have_been_seen_by_line_and_over_all(self, before: Snapshot, after: Snapshot) -> None:
        from reports.gate.output import summary

        comparison = compare(before, after)
        seen = [f.detectable for f in comparison.findings if not f.blind]
        assert all(math.isfinite(value) for value in seen)
        assert f"could have seen a worsening of {min(seen):.1f} to {max(seen):.1f} points" in summary(comparison)

    def test_too_little_power_is_no_held(self, before: Snapshot, after: Snapshot) -> None:
        comparison = compare(before, after)
        most = max(f.detectable for f in comparison.findings)
        assert compare(before, after, must_see=most + 0.1).exit_status == 0
        weak = compare(before, after, must_see=3.0)
        assert weak.exit_status == 2
        assert all("3 must be seen" in gap.what for gap in weak.incomparable)

    def test_a_regression_comes_before_too_little_power(self, before: Snapshot) -> None:
        worse = taken(World(TWO, 20, locks={"modellock": (88.0, 80.0)}))
        assert compare(before, worse, must_see=3.0).exit_status == 1

    def test_a_line_without_room_asks_for_no_power_and_is_blind(self) -> None:
        old = Line("LP", "open", "higher", dict.fromkeys(EIGHT, 98.0), dict.fromkeys(EIGHT), 400)
        finding = judge(old, Line("LP", "open", "higher", {8: 98.0, 9: 98.0}, {8: None, 9: None}, 400), 0.001, True)
        assert finding.blind
        assert finding.room == 2.0

    @pytest.mark.parametrize("m", [2, 8])
    def test_what_it_could_see_is_found_four_times_in_five(self, m: int) -> None:
        rng = np.random.default_rng(m)
        found = 0
        for _ in range(400):
            old = Line("UP", "x", "lower", dict(enumerate(60 + 4 * rng.normal(size=8))), dict.fromkeys(EIGHT), 4000)
            first = 0 if m == 8 else 100  # 8 shared seeds are judged in pairs, without anything in common
            numbers = range(first, first + m)
            new = Line("UP", "x", "lower", dict(zip(numbers, 60 + 4 * rng.normal(size=m), strict=True)),
                       dict.fromkeys(numbers), 4000)  # fmt: skip
            step = judge(old, new, 0.001, power=True).detectable
            worse = Line("UP", "x", "lower", {n: v - step for n, v in new.values.items()}, new.right, 4000)
            found += judge(old, worse, 0.001).verdict == "regressed"
        assert 0.7 < found / 400 < 0.95


class TestPairs:
    @pytest.fixture
    def wild(self) -> Snapshot:
        return taken(World(EIGHT, noise=1, deviation=8.0))

    def _shifted(self, snapshot: Snapshot, points: float, seeds: tuple[int, ...] = tuple(EIGHT)) -> Snapshot:
        """The same seeds, with every LP of the method lifted; evidence follows the number."""
        out = snapshot.model_copy(deep=True)
        for row in out.rows:
            row.seeds = {n: row.seeds[n] for n in seeds}
            for seed in row.seeds.values() if row.lock_name == "modellock" else ():
                seed.values["LP"] += points
                seed.right.pop("LP", None)
        return out

    def test_a_shift_that_seeds_hide_is_seen_in_pairs(self, wild: Snapshot) -> None:
        comparison = compare(wild, self._shifted(wild, 12.0))
        (lp,) = [f for f in comparison.findings if f.line.metric == "LP"]
        assert (lp.paired, lp.verdict) == (True, "regressed")
        assert lp.pairs == pytest.approx(12.0)
        alone = compare(wild, self._shifted(wild, 12.0, TWO))
        (lp,) = [f for f in alone.findings if f.line.metric == "LP"]
        assert (lp.paired, lp.verdict) == (False, "held")

    def test_the_output_says_whether_it_was_paired(self, wild: Snapshot) -> None:
        from reports.gate.output import caption

        assert "judged in pairs, seed by seed" in caption(compare(wild, wild))
        assert "Seeds 0, 1 are in both" in caption(compare(wild, self._shifted(wild, 0.0, TWO)))
        assert "No seed is in both" in caption(compare(wild, taken(World((8, 9), noise=3, deviation=8.0))))

    def test_pairs_with_nothing_in_common_do_not_alarm(self, wild: Snapshot) -> None:
        for noise in range(50, 54):
            comparison = compare(wild, taken(World(EIGHT, noise, deviation=8.0)))
            assert all(f.paired for f in comparison.findings)
            assert comparison.exit_status == 0

    @pytest.mark.parametrize(
        "points",
        [(60, 8) * 4, (10, 15, 20, 60, 65, 70, 12, 68), (40,) * 7 + (-0.5,), (40,) * 6 + (0, 0)],
        ids=["uneven", "rising", "one better", "two unchanged"],
    )
    def test_a_regression_of_uneven_size_is_seen(self, points: tuple[float, ...]) -> None:
        """It widens the interval of its own pairs; so the seeds as drawn anew are judged too."""
        calm = taken(World(EIGHT, noise=1))
        worse = calm.model_copy(deep=True)
        for row in worse.rows:
            for number, seed in row.seeds.items() if row.lock_name == "modellock" else ():
                seed.values["LP"] += points[number]
                seed.right.pop("LP", None)
        comparison = compare(calm, worse)
        assert comparison.exit_status == 1
        assert [f.paired for f in comparison.findings if f.line.metric == "LP"] == [False]

    def test_one_pair_that_is_better_holds_an_alarm_back(self, wild: Snapshot) -> None:
        worse = self._shifted(wild, 12.0)
        for row in worse.rows:
            if row.lock_name == "modellock":
                row.seeds[3].values["LP"] -= 12.5
        assert compare(wild, worse).exit_status == 0

    @pytest.mark.parametrize("stays", [20.0, 100.0])
    def test_a_pair_that_does_not_move_does_not_hide_a_regression(self, wild: Snapshot, stays: float) -> None:
        """One seed stays as it is, or was open all along."""
        before, worse = wild.model_copy(deep=True), self._shifted(wild, 30.0)
        for snapshot_ in (before, worse):
            for row in snapshot_.rows:
                if row.lock_name == "modellock":
                    row.seeds[3].values["LP"] = stays
                    row.seeds[3].right.pop("LP", None)
        assert compare(before, worse).exit_status == 1


class TestWhatShips:
    """A lock that other keys open, or that ships more than it says, is no better for its LP."""

    WORSE = {"wrong_key": 88.0, "UP_shipped": 30.0, "LP_shipped": 90.0}

    def _with(self, snapshot: Snapshot, **values: float) -> Snapshot:
        out = snapshot.model_copy(deep=True)
        for row in out.rows:
            for i, seed in enumerate(row.seeds.values()):
                seed.values = {n: v for n, v in seed.values.items() if n not in LATER}
                seed.values |= {name: value + i / 10 for name, value in values.items()}
        return out

    @pytest.mark.parametrize("name", WORSE)
    def test_each_is_a_line(self, before: Snapshot, after: Snapshot, name: str) -> None:
        good = {"wrong_key": 22.0, "UP_shipped": 88.0, "LP_shipped": 20.0}
        old = self._with(before, **good)
        assert compare(old, self._with(after, **good)).exit_status == 0
        comparison = compare(old, self._with(after, **{**good, name: self.WORSE[name]}))
        assert comparison.exit_status == 1
        assert {f.line.metric for f in comparison.findings if f.verdict == "regressed"} == {name}
        lost = self._with(after, **{n: v for n, v in good.items() if n != name})
        assert any(f"{name} no longer measured" in f.what for f in compare(old, lost).certain)

    def test_a_lost_near_key_is_certain(self, before: Snapshot, after: Snapshot) -> None:
        for pool, near in ((before, 5), (after, 5)):
            for row in pool.rows:
                for seed in row.seeds.values():
                    seed.keys = {"near": near, "wrong": 3}
        assert compare(before, after).exit_status == 0
        next(iter(after.rows[0].seeds.values())).keys = {"wrong": 3}
        assert "fewer keys are tried (near: 0, once 5 in seed 0)" in what(compare(before, after))

    def test_a_lock_that_becomes_a_control_is_certain(self, before: Snapshot, after: Snapshot) -> None:
        for row in after.rows:
            if row.lock_name == "modellock":
                row.purposes["lock"] = "must-open"
        comparison = compare(before, after)
        assert comparison.exit_status == 1
        assert "the lock modellock was no control and is a control (must-open)" in what(comparison)

    def test_an_older_file_that_lacks_them_is_named(self, before: Snapshot, after: Snapshot) -> None:
        comparison = compare(self._with(before), self._with(after, wrong_key=22.0))
        assert comparison.exit_status == 0
        assert any("the snapshot has no wrong_key" in w for w in comparison.warnings)

    def test_they_are_read_from_records(self) -> None:
        from example_records import exactly, measured, record

        from bench.records import Condition

        keys = [Condition(kind=kind, label=kind, what="", accuracy=exactly(v), shipped=v)
                for kind, v in (("right", 88.0), ("near", 41.0), ("wrong", 17.0), ("none", 60.0))]  # fmt: skip
        one = record(UP_shipped=measured(87.0), LP_shipped=measured(19.0), conditions=keys)
        (row,) = snapshot([one], lambda _: {}).rows
        values = row.seeds[0].values
        assert (values["UP_shipped"], values["LP_shipped"], values["wrong_key"]) == (87.0, 19.0, 41.0)


def test_a_renamed_parameter_is_named(before: Snapshot, after: Snapshot) -> None:
    """Another default may have come with it."""
    for snapshot_, name in ((before, "edit_share"), (after, "share")):
        for row in snapshot_.rows:
            row.settings = {"lock": {"rate": 0.1, name: 0.95}}
    warnings = [w for w in compare(before, after).warnings if "alone has the parameter" in w]
    assert any("the candidate alone has the parameter share" in w for w in warnings)
    assert any("the snapshot alone has the parameter edit_share" in w for w in warnings)
