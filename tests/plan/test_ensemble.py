"""The ensemble: members from a versioned list, the worst of them chosen on judge-validation, reported on test."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_records import baselines, calibration, measured, record

from bench import plan, registry
from bench.errors import UserError
from bench.plan import ensemble
from bench.records import PluginRef, Record
from bench.threat import ThreatModel
from reports.rows.aggregate import rows
from reports.rows.ensemble import worst_cases
from reports.rows.planned import of_suite
from reports.rows.row import Row
from reports.text.captions import captions, grouped

NAME = "weights-unlabelled"


def _threat(name: str = NAME) -> ThreatModel:
    params = ensemble.read().threat(name).params
    return ThreatModel(**{k.partition(".")[2]: v for k, v in params.items()})


def _member(
    attack: str, validation: float, test: float, replicate: int = 0, under: str = NAME, **more: object
) -> Record:
    planned = plan.make_cell("modellock", attack, "digits", "vit", ensemble.read().threat(under).params)
    result = record(
        attack=attack,
        replicate=replicate,
        RP=test,
        threat=_threat(under).values(),
        RP_validation=measured(validation),
        **more,
    )
    cell = result.cell.model_copy(update={"budget": planned.budget})
    return result.model_copy(update={"cell": cell, "row_key": cell.row_key()})


def _ensemble_row(records: list[Record]) -> Row:
    own = [record("none", "from-scratch", i, RP=30.0, threat=_threat().values()) for i in range(2)]
    (match,) = [row for row in rows([*records, *calibration(), *baselines(30.0), *own]) if row.ensemble]
    return match


def test_the_worst_is_chosen_on_judge_validation_and_reported_on_test() -> None:
    row = _ensemble_row([_member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 90.0)])
    assert row.mean("RP") == 70.0
    assert row.ensemble is not None
    assert row.ensemble.chosen == {0: "norm-adaptation"}
    assert row.ensemble.optimistic == {0: 90.0}
    assert row.mean("advantage") == 40.0
    assert row.attack == f"ensemble[threat={NAME},version={ensemble.read().version}]"


def test_each_seed_has_its_own_worst_and_missing_members_are_named() -> None:
    row = _ensemble_row(
        [
            _member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 90.0),
            _member("norm-adaptation", 50.0, 40.0, 1), _member("logit-surgery", 75.0, 60.0, 1),
        ]
    )  # fmt: skip
    assert row.ensemble is not None
    assert row.ensemble.chosen == {0: "norm-adaptation", 1: "logit-surgery"}
    assert row.mean("RP") == 65.0
    assert "prompt-search" in row.ensemble.missing
    words = "\n".join(captions(grouped([row])[0]))
    assert "optimistic" in words
    assert "prompt-search" in words


def test_a_failed_member_and_other_threat_models_do_not_enter() -> None:
    good = [_member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 60.0)]
    failed = _member("prompt-search", 99.0, 99.0).model_copy(update={"status": "failed"})
    elsewhere = record(attack="prompt-search", RP=99.0, RP_validation=measured(99.0))
    assert _ensemble_row([*good, failed, elsewhere]).mean("RP") == 70.0


def test_a_suite_shows_the_ensembles_of_the_locks_that_it_asks_for() -> None:
    row = _ensemble_row([_member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 60.0)])
    here, elsewhere = (plan.make_cell(lock, "none", "digits", "vit", {}) for lock in ("modellock", "map"))
    assert row in of_suite([row], [here], [])
    assert row not in of_suite([row], [elsewhere], [])


def test_an_older_list_stays_readable() -> None:
    """Its worst case is over its own members alone."""
    members = [
        _member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 60.0), _member("compose", 99.0, 98.0),
    ]  # fmt: skip
    for name, worst in (("ensemble-v1", 70.0), ("ensemble-v2", 98.0), ("ensemble-v3", 98.0), ("ensemble-v4", 98.0)):
        (match,) = [row for row in rows([*members, *baselines(30.0)], listed=name) if row.ensemble]
        assert match.attack.endswith(f"version={name[-1]}]")
        ((record, case),) = worst_cases(members, name)
        assert record.RP is not None
        assert record.RP.value == worst
        assert case.version == int(name[-1])


def test_who_has_more_may_leave_it_unused() -> None:
    """With one label in a hundred a composition can end lower than without; the attacker would not use them then."""
    few = [_member("finetune", 60.0, 61.0, under="weights-few"), _member("compose", 62.0, 60.7, under="weights-few")]
    less = [_member("norm-adaptation", 20.0, 21.0), _member("compose", 70.0, 70.5)]
    interface = [_member("look-consensus", 65.0, 99.0, under="logits-few")]
    cases = {case.threat: (record, case) for record, case in worst_cases([*few, *less, *interface])}
    assert cases.keys() == {"weights-few", NAME}
    record, case = cases["weights-few"]
    assert record.RP is not None
    assert record.RP.value == 70.5
    assert record.cell.threat == _threat("weights-few"), "the baseline is that of who has the labels"
    assert case.chosen == {0: "compose under weights-unlabelled"}
    assert case.optimistic == {0: 99.0}
    assert "compose" not in case.missing
    assert {r.row_key for r in (*few, *less, *interface)} == set(case.row_keys)
    assert cases[NAME][1].chosen == {0: "compose"}, "who has less gets nothing of who has more"
    older = {case.threat: record for record, case in worst_cases([*few, *less, *interface], "ensemble-v4")}
    assert older["weights-few"].RP == few[1].RP


@pytest.mark.parametrize(("task", "lock", "has"), [("digits:fonts", "ntl", True), ("digits", "modellock", False)])
def test_a_pair_of_domains_has_no_editor_to_know(task: str, lock: str, has: bool) -> None:
    """Who has authorised images and knows no editor lacks nothing of who knows one, where there is none."""
    results = []
    for name, reached in (("weights-source", 90.0), (NAME, 97.0)):
        for attack in ("norm-adaptation", "compose"):
            cell = plan.make_cell(lock, attack, task, "cnn", ensemble.read().threat(name).params)
            result = record(attack=attack, RP=reached, RP_validation=measured(reached))
            results.append(result.model_copy(update={"cell": cell, "row_key": cell.row_key()}))
    cases = {case.threat: case for _, case in worst_cases(results)}
    assert (cases["weights-source"].optimistic == {0: 97.0}) == has


def test_what_a_weaker_attacker_reaches_needs_a_seed_that_the_stronger_one_has() -> None:
    few = [_member(attack, 60.0, 61.0, under="weights-few") for attack in ("finetune", "compose")]
    less = [_member(attack, 70.0, 70.5, seed) for attack in ("norm-adaptation", "compose") for seed in (0, 1)]
    seeds = [r.cell.replicate for r, case in worst_cases([*few, *less]) if case.threat == "weights-few"]
    assert seeds == [0]


@pytest.mark.parametrize(
    ("lock", "role", "key"), [("my-lock", "method", "edit"), ("given", "given", "edit"), ("my-lock", "method", "mine")]
)
def test_a_lock_that_is_not_installed_has_a_worst_case(lock: str, role: str, key: str) -> None:
    """Members are told by attack and threat model: a report needs neither the lock nor its key."""
    pool = []
    for member in (_member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 60.0)):
        cell = member.cell.model_copy(
            update={
                "lock": PluginRef(name=lock, role=role),
                "key": PluginRef(name=key, params={"prompt": "in oil"}, explicit={"prompt": "in oil"}),
            }
        )
        pool.append(member.model_copy(update={"cell": cell, "row_key": cell.row_key()}))
    ((worst, case),) = worst_cases(pool)
    assert worst.RP is not None
    assert worst.RP.value == 70.0
    assert ("prompt-search" in case.missing) == (key == "edit"), "it speaks to edit keys alone"


def test_one_member_is_no_ensemble() -> None:
    assert worst_cases([_member("norm-adaptation", 80.0, 70.0)]) == []


def test_the_adaptive_line_says_none_yet_or_names_the_attack() -> None:
    result = record("nobody-attacks-this")
    words = "\n".join(captions(grouped(rows([result]))[0]))
    assert "nobody-attacks-this (edit): none yet" in words


@pytest.mark.parametrize("threat", ensemble.read().threats, ids=lambda t: t.name)
def test_every_member_is_an_attack_that_can_run_under_its_threat_model(threat: ensemble.Threat) -> None:
    assert len({(m.attack, str(m.params)) for m in threat.members}) == len(threat.members)
    for member in threat.members:
        cell = plan.make_cell("modellock", member.attack, "digits", "cnn", {**threat.params, **member.params})
        attack = registry.current().make("attack", member.attack, cell.attack.params)
        assert attack.accepts(cell.threat)
        assert cell.threat == _threat(threat.name), "members share one view"


def test_what_was_written_against_a_lock_is_a_member_somewhere() -> None:
    members = {member.attack for threat in ensemble.read().threats for member in threat.members}
    adaptive = {info.name for info in registry.current().all("attack").values() if info.against and not info.guest}
    assert adaptive <= members


def test_who_has_more_has_every_attack_of_those_who_have_less() -> None:
    """With labels or authorised images, an attacker can still do what needs neither."""
    (least,) = [t for t in ensemble.read().threats if t.name == "weights-unlabelled"]
    for more in ensemble.read().threats:
        if more.params["threat.access"] != "weights":
            continue
        here = {(m.attack, str(m.settings)) for m in more.members}
        for member in least.members:
            cell = plan.make_cell("modellock", member.attack, "digits", "cnn", {**more.params, **member.params})
            can = registry.current().make("attack", member.attack, cell.attack.params).accepts(cell.threat)
            if can and not member.slow:
                assert (member.attack, str(member.settings)) in here, (more.name, member.attack)


def test_a_row_that_names_an_ensemble_becomes_its_members(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[row]]\nensemble = "ensemble-v5"\nthreats = ["leaked", "weights-tenth"]\nfast = true\n')
    request = [row.attacks[0] for row in plan.read_suite(str(file))]
    fast = [
        m.attack for name in ("leaked", "weights-tenth") for m in ensemble.read().threat(name).members if not m.slow
    ]
    assert request == fast
    domain = file.read_text() + 'tasks = ["digits:fonts"]\nmodels = ["cnn"]\nlocks = ["ntl"]\n'
    file.write_text(domain)
    planned = plan.build(plan.read_suite(str(file)))
    assert not any(p.cell.threat.leaked for p in planned), "two domains have no pairs to leak"
    assert {p.cell.attack.params["trials"] for p in planned if p.cell.attack.name == "from-scratch"} == {13}


def test_an_ensemble_is_a_suite_and_wrong_names_are_told(tmp_path: Path) -> None:
    assert plan.read_suite(ensemble.CURRENT)
    with pytest.raises(UserError, match="no threat model 'weight-few'"):
        ensemble.read().threat("weight-few")
    with pytest.raises(UserError, match="no ensemble"):
        ensemble.read("ensemble-v99")


def test_the_page_shows_the_ensemble_its_members_and_the_command_that_runs_them(tmp_path: Path) -> None:
    from example_records import FakeStore

    from reports.page import site as html

    members = [_member("norm-adaptation", 80.0, 70.0), _member("logit-surgery", 75.0, 90.0)]
    own = record("none", "from-scratch", RP=30.0, threat=_threat().values())
    html.write(FakeStore([*members, own, *calibration(), *baselines(30.0)]), tmp_path / "page")
    text = (tmp_path / "page" / "attack-ensemble.html").read_text()
    assert f"bench run --lock modellock --suite {ensemble.CURRENT} --task digits" in text
    assert "70.0" in text
    assert "not installed" not in text
    for threat in ensemble.read().threats:
        assert f'<th scope="row">{threat.name}</th>' in text
    assert "(plue)" in text, "slow members stand in brackets"
