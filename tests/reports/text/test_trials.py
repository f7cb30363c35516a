"""Trials on tuning seeds: what varies names the trial; the best has the highest mean over all places."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from example_records import measured, record
from rich.console import Console

from bench.errors import UserError
from bench.records import Record
from reports.text import trials


def trial(lock: str, rate: float, rp: float, replicate: int = 1000, **more: Any) -> Record:
    setting = {"rate": rate, "steps": 300}
    return record(lock, replicate=replicate, RP=rp, split="judge-validation", attack_explicit=setting, **more)


TWO_LOCKS = [trial("ntl", 0.01, 50.0), trial("map", 0.01, 71.0), trial("ntl", 0.001, 62.0), trial("map", 0.001, 60.0)]


def test_trials_of_an_attack_stand_side_by_side() -> None:
    (product,) = trials.trials(TWO_LOCKS)
    assert product.title == "prompt-search · vit"
    assert product.places == ("map (digits, edit)", "ntl (digits, edit)")
    assert list(product.table) == ["rate 0.001", "rate 0.01"], "what does not vary names no trial; in order of value"
    assert product.table["rate 0.01"] == {"ntl (digits, edit)": 50.0, "map (digits, edit)": 71.0}
    assert (product.mean("rate 0.001"), product.mean("rate 0.01"), product.best) == (61.0, 60.5, "rate 0.001")


def test_a_lone_trial_of_an_attack_is_named_by_what_it_sets() -> None:
    (product,) = trials.trials(TWO_LOCKS[:2])
    assert list(product.table) == ["rate 0.01, steps 300"]
    assert product.mean("rate 0.01, steps 300") == 60.5
    assert "| rate 0.01, steps 300 | 71.0 | 50.0 | 60.5 |" in trials.render(TWO_LOCKS[:2], "md")


def test_seeds_are_averaged() -> None:
    (product,) = trials.trials([*TWO_LOCKS, *(trial(lock, 0.01, 90.0, 1001) for lock in ("ntl", "map"))])
    assert product.seeds == (1000, 1001)
    assert product.table["rate 0.01"]["ntl (digits, edit)"] == 70.0


def test_trials_over_other_seeds_are_not_ranked() -> None:
    """Seed 1001 is a hard one: the trial that was spared it would look best."""
    records = [trial("ntl", 0.1, 80.0), trial("ntl", 0.1, 40.0, 1001), trial("ntl", 0.2, 70.0)]
    (product,) = trials.trials(records)
    assert product.best is None
    assert product.fewer == ("rate 0.2, ntl (digits, edit): seed 1000",)
    assert "Not to be compared, since seeds are missing: rate 0.2" in trials.render(records, "md")
    (whole,) = trials.trials([*records, trial("ntl", 0.2, 70.0, 1001)])
    assert (whole.best, whole.fewer) == ("rate 0.2", ())


def test_places_may_have_other_seeds_each() -> None:
    records = [trial("ntl", rate, 50.0 + rate, seed) for rate in (0.1, 0.2) for seed in (1000, 1001)]
    records += [trial("map", rate, 60.0 + rate) for rate in (0.1, 0.2)]
    (product,) = trials.trials(records)
    assert (product.best, product.fewer) == ("rate 0.2", ())


def test_a_trial_that_was_not_run_everywhere_has_no_mean_and_there_is_no_best() -> None:
    (product,) = trials.trials(TWO_LOCKS[:3])
    assert product.mean("rate 0.001") is None
    assert product.best is None
    assert "| rate 0.001 | — | 62.0 | — |" in trials.render(TWO_LOCKS[:3], "md")


def test_trials_of_a_lock_are_read_by_what_it_keeps_and_what_it_leaves() -> None:
    settings = ({"alpha": 0.1}, {"alpha": 1.0})
    product = [
        record("ntl", "none", 1000, RP=None, UP=measured(99.0), LP=10.0 + i, split="judge-validation", lock_explicit=s)
        for i, s in enumerate(settings)
    ]
    (group,) = trials.trials(product)
    assert group.title == "ntl, key edit · vit"
    assert group.table["alpha 1"] == {"ntl (digits, edit) UP": 99.0, "ntl (digits, edit) LP": 11.0}
    assert group.best is None, "which trial of a lock is best depends on the rule"
    assert "| alpha 1 | 11.0 | 99.0 |\n" in trials.render(product, "md") + "\n", (
        "no mean of what is kept and what is left"
    )


def attacked(attack: str, alpha: float, rp: float, replicate: int = 1000) -> Record:
    setting = {"alpha": alpha}
    return record("ntl", attack, replicate, RP=rp, split="judge-validation", lock_explicit=setting)


def test_a_trial_of_a_lock_has_the_worst_case_of_the_attacks_that_every_trial_has() -> None:
    alone = [
        record("ntl", "none", 1000, RP=None, UP=measured(99.0), split="judge-validation", lock_explicit={"alpha": a})
        for a in (0.1, 1.0)
    ]
    others = [attacked("finetune", 0.1, 40.0), attacked("finetune", 1.0, 80.0), attacked("distil", 0.1, 70.0)]
    other_lock = attacked("distil", 5.0, 95.0)  # no trial of these
    for records, worst in (
        ([*others, attacked("distil", 1.0, 60.0)], {"alpha 0.1": 70.0, "alpha 1": 80.0}),
        (others, {"alpha 0.1": 70.0}),  # distil is missing for the other
        ([*others, attacked("distil", 1.0, 60.0, 1001)], {"alpha 0.1": 70.0}),
    ):
        (group,) = [g for g in trials.trials([*alone, *records, other_lock]) if g.title.startswith("ntl")]
        assert {t: v["ntl (digits, edit) worst RP"] for t, v in group.table.items() if len(v) == 3} == worst
    assert "Worst RP: the highest of distil, finetune." in trials.render([*alone, *others], "md")


def test_an_attack_with_one_setting_tells_trials_of_locks_apart() -> None:
    product = [
        record("ntp", "finetune", 1000, RP=rp, split="judge-validation", lock_explicit={"sparsity": s})
        for s, rp in ((0.9, 91.0), (0.95, 67.5))
    ]
    (group,) = trials.trials(product)
    assert group.table == {"sparsity 0.9": {"ntp (digits, edit)": 91.0}, "sparsity 0.95": {"ntp (digits, edit)": 67.5}}
    assert group.best is None


def test_settings_of_the_key_are_part_of_the_place() -> None:
    product = [trial("ntl", rate, 50.0) for rate in (0.01, 0.001)]
    for alpha, record_ in zip((0.3, 0.5), product, strict=True):
        record_.cell.key.explicit["alpha"] = alpha
    (group,) = trials.trials(product)
    assert group.places == ("ntl (digits, edit[alpha=0.3])", "ntl (digits, edit[alpha=0.5])")


def test_threat_models_and_results_stay_apart() -> None:
    other = trial("ntl", 0.01, 80.0, threat={"share": 0.1})
    result = record("ntl", replicate=0, RP=99.0, attack_explicit={"rate": 0.01})
    match = trials.trials([*TWO_LOCKS, other, result])
    assert sorted(len(group.table) for group in match) == [1, 2]
    assert "99.0" not in trials.render([*TWO_LOCKS, other, result], "md")


def test_formats() -> None:
    assert "**prompt-search · vit.** RP under access: weights" in trials.render(TWO_LOCKS, "md")
    assert "| rate 0.01 | 71.0 | 50.0 | 60.5 |" in trials.render(TWO_LOCKS, "md")
    assert trials.render(TWO_LOCKS, "csv").splitlines()[0] == "tuned,threat,trial,place,seeds,accuracy"
    assert len(trials.render(TWO_LOCKS, "csv").splitlines()) == 5
    assert {line["accuracy"] for line in json.loads(trials.render(TWO_LOCKS, "json"))} == {50.0, 71.0, 62.0, 60.0}
    assert json.loads(trials.render([], "json")) == []
    with pytest.raises(UserError, match="latex"):
        trials.render(TWO_LOCKS, "latex")


def test_the_terminal_shows_the_best_and_says_where_there_is_nothing() -> None:
    out = Console(file=io.StringIO(), width=120)
    out.print(trials.terminal(TWO_LOCKS))
    out.print(trials.terminal([]))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert "Highest mean: rate 0.001." in shown
    assert "bench/plan/tuning/" in shown


def test_a_lone_trial_of_a_lock_has_its_worst_case_and_an_attack_that_failed_takes_it_away() -> None:
    alone = record(
        "ntl", "none", 1000, RP=None, UP=measured(99.0), split="judge-validation", lock_explicit={"alpha": 0.1}
    )
    failed = record(
        "ntl", "distil", 1000, RP=None, split="judge-validation", lock_explicit={"alpha": 0.1}, status="failed",
        error="it died",
    )  # fmt: skip
    both = [alone, attacked("finetune", 0.1, 40.0)]
    for records, worst in ((both, {40.0}), ([*both, failed], set())):
        (group,) = [g for g in trials.trials(records) if g.title.startswith("ntl")]
        assert {v for place, v in group.table["alpha 0.1"].items() if place.endswith("worst RP")} == worst
        assert bool(group.attacks) is bool(worst)
