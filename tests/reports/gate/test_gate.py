"""The gate on made-up stores: what it must catch, what it must let pass, and how often it is wrong."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from example_worlds import IMAGES, World
from places import ROOT
from rich.console import Console

from bench import plan
from bench.errors import UserError
from bench.hashing import digest
from bench.records import PluginRef
from bench.store import Store
from reports.gate import false_alarms
from reports.gate import output as gate_output
from reports.gate import snapshot as snapshots
from reports.gate.asked import Asked, Remake
from reports.gate.comparable import differences
from reports.gate.lines import Line, lines
from reports.gate.rule import Comparison, compare, deviation, judge
from reports.gate.snapshot import Snapshot, pack, snapshot, unpack

EIGHT, TWO = range(8), (0, 1)


def taken(world: World) -> Snapshot:
    return snapshot(world.records, world.evidence)


@pytest.fixture(scope="module")
def before() -> Snapshot:
    return taken(World(EIGHT, noise=1))


def regressed(comparison: Comparison) -> set[tuple[str, str]]:
    return {(f.line.metric, f.line.name) for f in comparison.findings if f.verdict == "regressed"}


PLACE = "digits · vit · modellock (edit)"


def test_no_change_is_held_when_the_noise_is_drawn_again(before: Snapshot) -> None:
    for noise in range(10, 14):
        comparison = compare(before, taken(World(TWO, noise)))
        assert not comparison.regressed, gate_output.summary(comparison)
        assert not compare(before, taken(World((8, 9), noise))).regressed  # other seeds


def test_a_rerun_that_is_bit_identical_is_held_and_moves_no_pair(before: Snapshot) -> None:
    comparison = compare(before, taken(World(TWO, noise=1)))
    assert not comparison.regressed
    assert all(f.verdict == "held" for f in comparison.findings)


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        ({"locks": {"modellock": (88.0, 80.0)}}, "LP"),  # decoys off
        ({"locks": {"modellock": (88.0, 45.0)}}, "LP"),  # a weaker edit
        ({"locks": {"modellock": (78.0, 25.0)}}, "UP"),
        ({"attacks": {("modellock", "logit-surgery"): 95.0}}, "worst-case RP"),
        ({"attacks": {("destroyed", "prompt-search"): 40.0}}, "worst-case RP"),
    ],
)
def test_a_weaker_or_costlier_lock_is_caught(before: Snapshot, change: dict, metric: str) -> None:  # type: ignore[type-arg]
    comparison = compare(before, taken(World(TWO, 20, **change)))
    assert metric in {name for name, _ in regressed(comparison)}


@pytest.mark.parametrize(("row", "rp"), [(("modellock", "prompt-search"), 60.0), (("none", "from-scratch"), 25.0)])
def test_a_weaker_attack_is_caught(before: Snapshot, row: tuple[str, str], rp: float) -> None:
    comparison = compare(before, taken(World(TWO, 21, attacks={row: rp})))
    ((metric, name),) = regressed(comparison)
    assert metric == "RP"
    assert row[1] in name


def test_a_victim_that_got_weaker_is_caught_but_not_what_a_key_does_to_it(before: Snapshot) -> None:
    assert {metric for metric, _ in regressed(compare(before, taken(World(TWO, 24, victim=70.0))))} == {"oracle"}
    harmed = taken(World(TWO, 24, locks={"none": (50.0, 92.0)}))  # by a key that it was not trained with
    assert not compare(before, harmed).regressed


def test_a_lock_that_returns_the_victim_is_caught_and_named(before: Snapshot) -> None:
    candidate = taken(World(TWO, 22))
    for row in candidate.rows:
        if row.lock_name == "modellock":
            for seed in row.seeds.values():
                for name, other in (("UP", "victim_authorised"), ("LP", "oracle")):
                    seed.values[name], seed.right[name] = seed.values[other], seed.right[other]
    comparison = compare(before, candidate)
    assert ("LP", PLACE) in regressed(comparison)
    assert [c.what for c in comparison.certain] == ["the lock answers as the victim does: nothing is locked"]


def test_an_attack_that_returns_the_locked_model_is_caught_even_where_seeds_vary_wildly() -> None:
    wild = taken(World(EIGHT, 1, deviation=25.0))
    candidate = taken(World(TWO, 23, deviation=25.0, attacks={("modellock", "prompt-search"): -1}))
    comparison = compare(wild, candidate)
    assert [c.what for c in comparison.certain] == ["the attack answers as the locked model does: nothing was attacked"]
    assert compare(
        taken(World(EIGHT, 1)), taken(World(TWO, 23, attacks={("modellock", "prompt-search"): -1}))
    ).regressed


def test_a_seed_without_success_does_not_blind_the_gate() -> None:
    wild = taken(World(EIGHT, 1, deviation=25.0))
    row = next(r for r in wild.rows if (r.lock_name, r.attack_name) == ("modellock", "prompt-search"))
    first = next(iter(row.seeds.values()))
    first.values["RP"], first.right["RP"] = first.values["LP"], first.right["LP"]
    candidate = taken(World(TWO, 23, deviation=25.0, attacks={("modellock", "prompt-search"): -1}))
    assert [c.what for c in compare(wild, candidate).certain] == [
        "the attack answers as the locked model does: nothing was attacked"
    ]


def test_a_default_that_changed_under_the_same_rows_is_named_once(before: Snapshot) -> None:
    after = taken(World(TWO, noise=10))
    assert not compare(before, after).certain
    old = before.model_copy(deep=True)
    for pool, alpha in ((old, 0.5), (after, 0.3)):
        for row in pool.rows:
            row.settings = {"lock": {}, "key": {"alpha": alpha, "steps": None}, "attack": {"rounds": 30}}
    after.rows[0].settings["key"]["new"] = 1  # a parameter that did not exist is no change
    (certain,) = compare(old, after).certain
    assert certain.what == "the default of key.alpha was 0.5 and is 0.3"
    assert "save a new snapshot" in certain.remedy


@pytest.mark.parametrize(
    ("spends", "expected"), [(24, set()), (12, set()), (11, {"11 guesses at most, once 24 at least"})]
)
def test_an_attack_that_spends_less_than_half_is_named(spends: int, expected: set[str]) -> None:
    def spent(guesses: int) -> dict[str, object]:
        return {"guesses": guesses, "queries": 100, "steps": 0, "edited": None, "seconds": 3.5}

    comparison = compare(taken(World(EIGHT, 1, meter=spent(24))), taken(World(TWO, 10, meter=spent(spends))))
    assert {c.what for c in comparison.certain} == {f"the attack spends less: {words}" for words in expected}


def test_seeds_that_older_code_left_in_the_store_are_not_the_candidates() -> None:
    from bench.cli.gate import rows_and_seeds

    assert set((rows_and_seeds("ci-minute", None).rows or {}).values()) == {frozenset({0, 1})}
    assert set((rows_and_seeds("ci-minute", "8:10").rows or {}).values()) == {frozenset({8, 9})}
    assert (rows_and_seeds(None, None), rows_and_seeds(None, "2")) == (Asked(), Asked(seeds=frozenset({0, 1})))


def test_unexpectedly_better_warns_and_passes(before: Snapshot) -> None:
    comparison = compare(before, taken(World(TWO, 24, locks={"modellock": (96.0, 10.0)})))
    assert not comparison.regressed
    assert {f.line.metric for f in comparison.findings if f.verdict == "better"} >= {"UP", "LP"}


def test_one_outlying_seed_does_not_alarm(before: Snapshot) -> None:
    candidate = taken(World(TWO, 25))
    for row in candidate.rows:
        if row.attack_name == "prompt-search" and row.lock_name == "modellock":
            row.seeds[0].values["RP"] = 20.0
    assert not compare(before, candidate).regressed


def test_false_alarms_stay_below_the_rate() -> None:
    """Seeds and the answers to images are all drawn anew; 5 % is tested, since 1 % would need too many worlds."""
    alarms = sum(
        compare(taken(World(EIGHT, 2 * i, deviation=3.0)), taken(World(TWO, 2 * i + 1, deviation=3.0)), 0.05).regressed
        for i in range(100, 130)
    )
    assert alarms <= 4


def _line(values: dict[int, float], right: dict[int, np.ndarray | None] | None = None, n: int = 400) -> Line:  # type: ignore[type-arg]
    return Line("LP", "x", "higher", values, right or dict.fromkeys(values), n)


def test_the_interval_by_hand() -> None:
    values = dict(enumerate([20.0, 30.0, 25.0, 22.0, 28.0, 24.0, 26.0, 25.0]))
    old, new = _line(values), _line({10: 60.0, 11: 62.0})
    s = np.std(list(values.values()), ddof=1)
    finding = judge(old, new, 0.001)
    # 4.785 is the 99.9 % quantile of t with 7 degrees of freedom
    assert finding.change - finding.low == pytest.approx(4.785 * s * np.sqrt(1 / 2 + 1 / 8), rel=1e-3)
    assert (finding.before, finding.after, finding.pairs, finding.verdict) == (25.0, 61.0, None, "regressed")


def test_image_noise_stands_in_where_seeds_agree_by_luck() -> None:
    rng = np.random.default_rng(0)
    right = {i: rng.permutation(np.arange(400) < 100) for i in range(8)}
    line = _line(dict.fromkeys(range(8), 25.0), right)
    # every image is right with the same chance: the binomial deviation
    assert deviation(line, line) == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 400), rel=0.05)
    fixed = _line(dict.fromkeys(range(8), 25.0), dict.fromkeys(range(8), np.arange(400) < 100))
    assert deviation(fixed, fixed) == 0.25  # one image
    unknown = _line(dict.fromkeys(range(8), 25.0))
    assert deviation(unknown, unknown) == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 400), rel=0.01)


def test_the_worst_case_is_chosen_on_validation_images(before: Snapshot) -> None:
    rows = [r.model_copy(deep=True) for r in before.rows if r.lock_name == "modellock"]
    for row in rows:
        for seed in row.seeds.values():
            if "RP" in seed.values:
                seed.validation = 90.0 if row.attack_name == "logit-surgery" else 10.0
    worst = next(line for (metric, _), line in lines(rows).items() if metric == "worst-case RP")
    surgery = next(row for row in rows if row.attack_name == "logit-surgery")
    assert worst.values == {n: seed.values["RP"] for n, seed in surgery.seeds.items()}


class TestWhatIsMissing:
    def test_a_missing_row_seed_or_failed_cell_is_a_finding_with_a_remedy(self, before: Snapshot) -> None:
        candidate = taken(World(TWO, 26))
        gone, short, failed, invalid = candidate.rows[0], candidate.rows[1], candidate.rows[2], candidate.rows[3]
        candidate.rows.remove(gone)
        del short.seeds[1]
        failed.seeds[0] = snapshots.Seed(status="failed", error="out of memory")
        invalid.seeds[1] = snapshots.Seed(status="invalid", error="AccessDenied")
        comparison = compare(before, candidate, remake=Remake(Path("s"), "mine"))
        assert comparison.regressed
        what = {c.name: c.what for c in comparison.certain}
        assert what[gone.words()] == "missing from the candidate"
        assert what[short.words()] == "seed 1 missing from the candidate"
        assert what[failed.words()] == "seed 0 failed: out of memory"
        assert what[invalid.words()] == "seed 1 invalid: AccessDenied"
        remedies = {c.name: c.remedy for c in comparison.certain}
        assert "bench run --suite mine --seeds 0:2 --store s" in remedies[gone.words()]
        assert "bench run --suite mine --seeds 1:2 --store s" in remedies[short.words()]
        assert "bench run --suite mine --seeds 0:1 --store s" in remedies[failed.words()]

    def test_a_number_that_is_no_longer_measured_is_a_finding(self, before: Snapshot) -> None:
        candidate = taken(World(TWO, 27))
        for row in candidate.rows:
            for seed in row.seeds.values():
                seed.values.pop("UP")
        assert {c.what for c in compare(before, candidate).certain} == {"UP no longer measured"}

    def test_only_expected_rows_count(self, before: Snapshot) -> None:
        candidate = taken(World(TWO, 28))
        candidate.rows = [row for row in candidate.rows if row.lock_name == "none"]
        asked = Asked("a-part", {row.row_key: frozenset(TWO) for row in candidate.rows})
        assert compare(before, candidate).regressed
        comparison = compare(before, candidate, asked=asked)
        assert comparison.exit_status == 0
        (warning,) = [w for w in comparison.warnings if "nothing is said of them" in w]
        assert all(row.words() in warning for row in before.rows if row.lock_name != "none")

    def test_an_unknown_row_and_a_new_flag_warn(self, before: Snapshot) -> None:
        candidate = taken(World(TWO, 29))
        extra = candidate.rows[0].model_copy(update={"row_key": "new"})
        candidate.rows.append(extra)
        candidate.rows[1].seeds[0].flags.append("depends-on-batch")
        warnings = compare(before, candidate).warnings
        assert any("not in the snapshot" in w for w in warnings)
        assert any("new red flag depends-on-batch" in w for w in warnings)


class TestNotComparable:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: setattr(c, "record_schema", 99), "record schema 2, the candidate 99"),
            (lambda c: setattr(c.rows[0].seeds[0], "data", "other"), "fingerprint data-0 in the snapshot, other"),
            (lambda c: c.rows[0].seeds[0].images.update(test="other"), "test images of digits"),
            (lambda c: [setattr(r, "row_key", "x") for r in c.rows], "no row of the candidate is in the snapshot"),
            (lambda c: [r.seeds.pop(1) for r in c.rows], "has 1 seed; the rule needs 2"),
        ],
    )
    def test_it_says_which_part_differs(self, before: Snapshot, change: Callable, message: str) -> None:  # type: ignore[type-arg]
        candidate = taken(World(TWO, 30))
        change(candidate)
        with pytest.raises(UserError, match=message) as caught:
            compare(before, candidate)
        assert caught.value.remedy

    def test_rows_of_single_attacks_do_not_depend_on_the_ensemble_s_version(self, before: Snapshot) -> None:
        candidate = taken(World(TWO, 30))
        candidate.ensemble = "9"
        assert compare(before, candidate).warnings == compare(before, taken(World(TWO, 30))).warnings

    def test_a_snapshot_of_few_seeds_is_refused(self) -> None:
        few = taken(World(range(5), 1))
        with pytest.raises(UserError, match="fewer than 8 seeds"):
            compare(few, taken(World(TWO, 2)))
        with pytest.raises(UserError, match="has 5 seeds, a snapshot has at least 8"):
            snapshots.check_complete(few)


class TestFile:
    def test_it_comes_back_as_it_was_one_line_a_seed(self, before: Snapshot, tmp_path: Path) -> None:
        file = tmp_path / "deep" / "b.json"
        snapshots.write(before, file)
        assert snapshots.read(file) == before
        text = file.read_text()
        assert sum(line.startswith('    "') for line in text.splitlines()) == 8 * len(before.rows)
        assert len(text) < 120_000
        assert list(file.parent.iterdir()) == [file]

    def test_bits_come_back(self) -> None:
        right = np.random.default_rng(0).random(IMAGES + 3) < 0.5
        assert np.array_equal(unpack(pack(right), len(right)), right)
        for bad in ("", "zz", "ff" * 90):
            with pytest.raises(UserError, match="bits"):
                unpack(bad, 363)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "rows": 3}', "\x00"])
    def test_what_is_no_snapshot_is_refused(self, text: str, tmp_path: Path) -> None:
        file = tmp_path / "b.json"
        file.write_text(text)
        with pytest.raises(UserError, match=r"snapshot|format") as caught:
            snapshots.read(file)
        assert "bench baseline save" in caught.value.remedy


def test_the_comparison_in_all_its_forms(before: Snapshot) -> None:
    candidate = taken(World(TWO, 31, locks={"modellock": (88.0, 80.0)}))
    candidate.rows[-1].seeds[0] = snapshots.Seed(status="failed", error="a | b \x1b[1m")
    comparison = compare(before, candidate)
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(gate_output.Report(comparison))
    printed, markdown = console.export_text(), gate_output.markdown(comparison)
    for text in (" ".join(printed.split()), markdown):
        assert "REGRESSED" in text
        assert "the lock holds less" in text
        assert "at most 1 %" in text
    narrow = Console(width=80, file=io.StringIO(), record=True)
    narrow.print(gate_output.Report(comparison))
    text = narrow.export_text()
    for finding in comparison.findings:  # no number is broken in a narrow terminal
        assert all(cell in text for cell in gate_output.cells(finding)[2:7])
    suite = ElementTree.fromstring(gate_output.junit(comparison)).find("testsuite")
    assert suite is not None
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) >= 2


def _stored(world: World, root: Path) -> Store:
    store = Store(root)
    for record in world.records:
        store.put(record, world.evidence(record))  # type: ignore[arg-type]
    return store


def test_the_commands_end_to_end(bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    _stored(World(EIGHT, 1), tmp_path / "base")
    _stored(World(TWO, 40), tmp_path / "same")
    _stored(World(TWO, 41, locks={"modellock": (88.0, 80.0)}), tmp_path / "worse")
    got = bench("baseline", "save", "b.json", "--store", "base", cwd=tmp_path)
    assert got.returncode == 0, got.stderr
    assert "modellock" in bench("baseline", "show", "b.json", cwd=tmp_path).stdout
    some = bench("baseline", "save", "some.json", "--store", "base", "--seeds", "0:4", cwd=tmp_path)
    assert some.returncode == 2  # four are too few
    assert "8" in some.stderr
    own = bench("gate", "b.json", "--candidate", "same", "--junit", "j.xml", "--summary", "s.md", cwd=tmp_path)
    assert own.returncode == 0, own.stdout + own.stderr
    assert ElementTree.parse(tmp_path / "j.xml").getroot().tag == "testsuites"
    assert "held" in (tmp_path / "s.md").read_text()
    worse = bench("gate", "b.json", "--candidate", "worse", cwd=tmp_path)
    assert worse.returncode == 1, worse.stdout + worse.stderr
    payload = json.loads((tmp_path / "b.json").read_text())
    assert payload.pop("checksum")
    (tmp_path / "other.json").write_text(json.dumps({**payload, "record_schema": 0}))
    other = bench("gate", "other.json", "--candidate", "same", cwd=tmp_path)
    assert other.returncode == 2
    assert "record schema 0" in other.stderr
    assert "Traceback" not in other.stderr


class TestStudy:
    def test_it_counts_no_more_alarms_than_stated_where_seeds_are_like_one_another(self, before: Snapshot) -> None:
        for row in false_alarms.study(list(lines(before.rows).values())[:4], pairs=500):
            assert row.interval[0] <= 0.01, row

    def test_it_counts_alarms_where_the_rule_is_too_lax(self) -> None:
        line = _line(dict(enumerate(np.linspace(20, 60, 12))))
        assert (
            sum(row.alarms for row in false_alarms.study([line], pairs=500, rate=0.5)) > 10
        )  # separation alone: 1 in 45

    def test_a_snapshot_with_a_seed_that_fails_now_and_then(self) -> None:
        """One seed in ten is far off; a t interval alone would alarm in about one table of twelve."""
        values = dict(enumerate([84.0, 85.0, 86.0, 84.5, 85.5, 84.0, 86.0, 85.0, 20.0, 85.0]))
        line = Line("RP", "x", "lower", values, dict.fromkeys(values), 400)
        again = false_alarms.study([line], pairs=1000)[0]
        assert again.alarms / again.pairs < 0.01

    def test_the_table_is_printed(
        self, bench: Callable[..., subprocess.CompletedProcess[str]], before: Snapshot, tmp_path: Path
    ) -> None:
        snapshots.write(before, tmp_path / "b.json")
        run = bench("false-alarms", "b.json", "--pairs", "500", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert all(word in run.stdout for word in ("again", "apart", "smoothed", "500"))
        for words in (["none.json"], ["b.json", "--pairs", "10"], ["b.json", "--suite", "ci"]):  # ci: no row of these
            assert bench("false-alarms", *words, cwd=tmp_path).returncode == 2


class TestTheFileOfTheRepository:
    """`baselines/ci.json` has schema 1 of records, whose numbers mean the same."""

    saved = snapshots.read(ROOT / "baselines" / "ci.json")

    def test_its_row_keys_are_those_of_today(self) -> None:
        planned = {item.cell.row_key() for item in plan.build(plan.read_suite("ci")) if item.required}
        assert {row.row_key for row in self.saved.rows} == planned
        assert all(row.row_key == digest(row.row) for row in self.saved.rows)

    def test_its_own_seeds_are_held_and_worse_ones_are_not(self) -> None:
        candidate = self.saved.model_copy(deep=True, update={"record_schema": 2})
        for row in candidate.rows:
            row.seeds = {number: row.seeds[number] for number in TWO}
        comparison = compare(self.saved, candidate)
        assert len(comparison.findings) == 18
        assert not comparison.regressed, gate_output.summary(comparison)
        for row in candidate.rows:
            for seed in row.seeds.values():
                seed.values["UP"], seed.right = 0.0, {}
        assert {metric for metric, _ in regressed(compare(self.saved, candidate))} == {"UP"}


def test_an_audited_file_at_another_place_is_no_change() -> None:
    def audited(seeds: Sequence[int], file: str) -> Snapshot:
        world = World(seeds, 1)
        for i, r in enumerate(world.records):
            if r.cell.lock.name == "modellock":
                own = {"file": file, "digest": "0123456789abcdef0123"}
                cell = r.cell.model_copy(
                    update={"lock": PluginRef(name="given", params=own, explicit=own, role="given")}
                )
                world.records[i] = r.model_copy(update={"cell": cell, "row_key": cell.row_key()})
        return snapshot(world.records, world.evidence)

    before, after = audited(range(8), "/one/model.safetensors"), audited((0, 1), "/two/model.safetensors")
    assert not [c.what for c in compare(before, after).certain if "lock.file" in c.what]


def test_another_precision_is_a_difference() -> None:
    world = World(range(3), 1)
    before = snapshot(world.records, world.evidence)
    after = before.model_copy(update={"precision": "bf16"})
    assert any("the precision is float32" in line for line in differences(before, after))
