"""Suite and command line to cells: controls, parameters that reach their plugin, errors that speak."""

from __future__ import annotations

import io
import re
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import datasets, plan, plugin_modules, plugin_source, registry, seeds, source_files
from bench.cli import console
from bench.errors import UserError
from bench.plan.graph import Graph
from bench.plan.wording import in_short
from bench.store import code, identity
from bench.store.settings import Settings

TUNING = plan.SUITES.parent / "tuning"


def _rows(**more: object) -> list[plan.SuiteLine]:
    base: dict[str, object] = {
        "locks": ["modellock"],
        "attacks": ["prompt-search"],
        "tasks": ["digits"],
        "models": ["vit"],
    }
    return [plan.SuiteLine(**{**base, **more})]  # type: ignore[arg-type]


def test_every_row_brings_its_controls() -> None:
    planned = plan.build(_rows())
    got = {(p.cell.lock.name, p.cell.attack.name) for p in planned}
    assert got == {
        ("modellock", "prompt-search"), ("modellock", "none"), ("none", "from-scratch"),
        ("destroyed", "prompt-search"), ("permuted-logits", "logit-surgery"),
    }  # fmt: skip


def test_the_public_baseline_has_the_data_of_the_attack_and_is_shared() -> None:
    rows = _rows(attacks=["prompt-search", "logit-surgery"], params={"threat.share": 0.1})
    baselines = [p.cell for p in plan.build(rows) if p.cell.attack.name == "from-scratch"]
    assert sorted(c.threat.share for c in baselines) == [0.01, 0.1]
    assert all(c.threat.access == "none" for c in baselines)


def test_a_parameter_reaches_the_lock_or_its_key() -> None:
    cell = plan.make_cell("modellock", "none", "digits", "vit", {"lock.decoys": "fixed", "lock.alpha": "0.25"})
    assert cell.lock.params["decoys"] == "fixed"
    assert cell.key.params["alpha"] == 0.25
    assert cell.key.explicit == {"alpha": 0.25}
    assert "alpha" not in cell.lock.params


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"lock.alhpa": "1"}, "Did you mean lock.alpha"),
        ({"lock.alpha": "7"}, "0 ≤ alpha ≤ 1"),
        ({"threat.access": "root"}, "labels | logits | weights"),
        ({"budget.guess": "1"}, "Did you mean budget.guesses"),
        ({"attack.proposer": "oracle"}, "dictionary"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(params: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as error:
        plan.build(_rows(params=params))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "near"), [("lock", "modelock", "modellock"), ("attack", "promt-search", "prompt-search")]
)
def test_wrong_names_get_a_suggestion(kind: str, name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean {near}"):
        registry.current().find(kind, name)


@pytest.mark.parametrize("name", plan.suite_names())
def test_suites_can_be_planned_and_keep_off_the_tuning_seeds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for row in plan.read_suite(name):  # data that a user puts there: its folders are enough for a plan
        for side in (side for task in row.tasks for side in datasets.pair(task) or (task,)):
            if side.startswith("folder:"):
                (tmp_path / side.removeprefix("folder:")).mkdir(parents=True, exist_ok=True)
    planned = plan.build(plan.read_suite(name))
    assert planned
    assert not any(seeds.is_tuning(p.cell.replicate) for p in planned)
    required = [p.required for p in planned]
    assert required == sorted(required, reverse=True), "required cells come first"
    keys = [(p.cell.row_key(), p.cell.replicate) for p in planned]
    assert len(keys) == len(set(keys))


def test_a_suite_keeps_its_seeds_unless_told(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    arguments = ["run", "--suite", "full", "--task", "digits", "--model", "cnn", "--attack", "none", "--dry-run"]
    counts = []
    for more in ([], ["--seeds", "1"]):
        done = bench(*arguments, *more, "--store", str(tmp_path / "none"))
        counts.append(int(re.search(r"(\d+) cells", done.stdout)[1]))  # type: ignore[index]
    assert counts[0] == 3 * counts[1]


def test_on_two_domains_the_calibration_lock_is_opened_with_labels_enough() -> None:
    planned = plan.build(_rows(locks=["ntl"], attacks=["finetune"], tasks=["digits:fonts"], models=["cnn"]))
    (opened,) = [p.cell for p in planned if p.cell.lock.name == "permuted-logits"]
    assert opened.threat.share == 0.1
    budgets = {p.cell.threat.share for p in planned if p.cell.attack.name == "from-scratch"}
    assert budgets == {0.1}


def test_the_baseline_has_the_public_models_that_the_attack_names() -> None:
    """Else an attack's advantage would be what its CLIP knows of the classes."""
    params = {"attack.clip": "ViT-B-32/openai", "threat.share": 0.0}
    planned = plan.build(
        _rows(locks=["ntl"], attacks=["difo"], tasks=["digits:fonts"], models=["cnn"], params=params), to_run=False
    )
    beside = {p.cell.attack.params["clip"] for p in planned if p.cell.attack.name == "from-scratch"}
    assert "ViT-B-32/openai" in beside


def test_every_step_of_long_fine_tuning_is_counted_by_its_axis() -> None:
    """Steps before the sweep's own, and a second training, would make "100 steps" six hundred."""
    for line in plan.read_suite("long-finetuning"):
        if "finetune" in line.attacks:
            assert (line.params["attack.head_steps"], line.params["attack.pseudo"]) == (0, 0)


@pytest.mark.parametrize("file", sorted(TUNING.glob("*.toml")), ids=lambda f: f.stem)
def test_tuning_keeps_off_the_reporting_seeds_and_gives_every_lock_as_many_trials(file: Path) -> None:
    planned = plan.build(plan.read_suite(str(file)))
    assert all(seeds.is_tuning(p.cell.replicate) for p in planned)
    if file.stem == "ensemble":  # it chooses among attacks; no setting of a lock is chosen
        return
    trials: dict[tuple[str, str, str], int] = {}
    for item in planned:
        at = (f"{item.cell.lock.name} {item.cell.key.name}", item.cell.attack.name, item.cell.scenario)
        trials[at] = trials.get(at, 0) + 1
    for attack in {attack for _, attack, _ in trials}:
        assert len({n for (_, a, _), n in trials.items() if a == attack}) == 1


@pytest.mark.parametrize("name", ["newer-domain-locks", "newer-key-locks", "newer-weight-locks"])
def test_the_grids_of_newer_locks_hold_their_defaults_and_tune_what_has_an_effect(name: str) -> None:
    for row in tomllib.loads((TUNING / f"{name}.toml").read_text())["row"]:
        for lock in row["locks"]:
            declared = registry.INSTALLED.find("lock", lock).params
            fixed = {k.partition(".")[2]: v for k, v in row.get("params", {}).items() if k.startswith("lock.")}
            for where, values in row["sweep"].items():
                param = declared[where.partition(".")[2]]
                assert param.default in values, (lock, where)
                assert all(fixed.get(k, declared[k].default) in allowed for k, allowed in param.where.items())


def test_a_suite_with_a_wrong_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[[row]]\nlokcs = ['modellock']\n")
    with pytest.raises(UserError, match="unknown key 'lokcs'"):
        plan.read_suite(str(file))
    file.write_text("[[row]\n")
    with pytest.raises(UserError, match="no valid TOML"):
        plan.read_suite(str(file))


def test_a_hash_moves_with_what_decides_a_number_and_with_nothing_else() -> None:
    settings = Settings()
    base = plan.make_cell("modellock", "prompt-search", "digits", "vit", {})
    first = identity.of(base, settings).hashes
    assert identity.of(base.model_copy(deep=True), settings).hashes == first
    attack = identity.of(
        plan.make_cell("modellock", "prompt-search", "digits", "vit", {"attack.keep": "0.5"}), settings
    )
    assert {k for k in first if attack.hashes[k] != first[k]} == {"unlocked", "record"}
    lock = identity.of(plan.make_cell("modellock", "prompt-search", "digits", "vit", {"lock.steps": "7"}), settings)
    assert {k for k in first if lock.hashes[k] != first[k]} == {
        "protected", "judged", "conditions", "unlocked", "record",
    }  # fmt: skip
    threads = identity.of(base, Settings(threads=2)).hashes
    assert not set(threads.values()) & set(first.values())
    other = identity.of(plan.make_cell("modellock", "prompt-search", "digits", "vit", {}, replicate=1), settings).hashes
    assert not set(other.values()) & set(first.values())


def test_code_identity_sees_code_and_not_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plug.py"

    def digest(text: str) -> dict[str, str]:
        file.write_text(text)
        for cached in (plugin_modules.code_digest, plugin_modules.imports, source_files.parsed):
            cached.cache_clear()
        return code.code_identity(plugin_source.PluginInfo("lock", "plug", file, "plug", "Plug", ""))

    one = digest('"""Doc."""\nx = 1  # why\n')
    assert digest('"""Other doc."""\n\nx = 1\n') == one
    assert digest('"""Doc."""\nx = 2\n') != one
    assert "bench.params" in digest("from bench.params import param\n")
    assert not any("console" in name for name in code.code_identity("bench.harness.cell"))


def test_row_keys_join_what_hashes_part() -> None:
    a = plan.make_cell("modellock", "prompt-search", "digits", "vit", {}, replicate=0)
    b = plan.make_cell("modellock", "prompt-search", "digits", "vit", {}, replicate=1)
    c = plan.make_cell("modellock", "prompt-search", "digits", "vit", {"lock.steps": "9"})
    assert a.row_key() == b.row_key() != c.row_key()


def test_a_size_belongs_to_the_task_and_its_controls_have_it_too() -> None:
    cell = plan.make_cell("modellock", "logit-surgery", "digits", "cnn", {"task.size": "64"})
    assert cell.size == 64
    assert cell.row_key() != plan.make_cell("modellock", "logit-surgery", "digits", "cnn", {}).row_key()
    assert {control.size for control, _ in plan.controls_of(cell)} == {64}
    settings = Settings()
    plain = identity.of(plan.make_cell("modellock", "logit-surgery", "digits", "cnn", {"task.size": "32"}), settings)
    assert (
        plain.hashes == identity.of(plan.make_cell("modellock", "logit-surgery", "digits", "cnn", {}), settings).hashes
    )
    with pytest.raises(UserError, match="16"):
        plan.make_cell("modellock", "none", "digits", "cnn", {"task.size": "8"})


def test_a_lock_that_must_not_open_is_compared_with_a_baseline_of_the_same_images() -> None:
    """Authorised images depend on the key, so both have the key of the cell."""
    params = {"threat.authorised": "0.1", "key.alpha": "0.3", "lock.key": "edit"}
    controls = plan.controls_of(plan.make_cell("ntl", "disguise", "digits", "cnn", params))
    closed = next(cell for cell, why in controls if why == "calibration: must not open")
    public = next(cell for cell, why in controls if why == "public baseline")
    assert closed.key.explicit == public.key.explicit == {"alpha": 0.3}


def test_what_an_ensemble_does_not_name_the_command_chooses() -> None:
    open_rows = plan.read_suite("ensemble-v2")
    chosen = plan.narrowed(open_rows, {"locks": ["ntl", "map"], "tasks": ["digits:fonts"]})
    assert len(chosen) == len(open_rows)
    assert all(row.locks == ["ntl", "map"] and row.tasks == ["digits:fonts"] for row in chosen)
    assert {a for row in plan.narrowed(open_rows, {"attacks": ["finetune"]}) for a in row.attacks} == {"finetune"}
    assert plan.suite_lines("ensemble-v2", {"locks": ["ntl"], "attacks": None})
    with pytest.raises(UserError, match="nothing of suite 'quick' is left after --lock ntl") as found:
        plan.suite_lines("quick", {"locks": ["ntl"], "tasks": None})
    assert found.value.remedy.startswith("Its locks:")
    assert "modellock" in found.value.remedy
    assert {row.replicates[0] for row in plan.narrowed(open_rows, {}, [7])} == {7}


def test_a_short_lock_name_leaves_room_for_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    row = plan.SuiteLine(["ntl"], ["none"], ["digits:fonts"], ["cnn"], {"lock.augment": "jitter"})
    planned = [p for p in plan.build([row]) if p.cell.lock.name == "ntl"]
    console.plan_table(planned, [False] * len(planned), Graph.of(planned, Settings()), 1)
    lines = capsys.readouterr().out.splitlines()
    assert any("lock.augment=" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_rows_that_differ_in_a_setting_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {"threat.share": ["0.01", "0.05"]}
    row = plan.SuiteLine(
        ["modellock"], ["finetune"], ["digits"], ["cnn"], {"lock.steps": "60", "key.steps": "1"}, sweep
    )
    planned = plan.build([row])
    lines = [in_short(p.cell) for p in planned]
    assert len(set(lines)) == len(lines)
    assert any("(edit) × finetune [lock.steps=60, key.steps=1, threat.share=0.05" in line for line in lines)
    console.plan_table(planned, [False] * len(planned), Graph.of(planned, Settings()), 1)
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("lock.steps=60", "key.steps=1", "0.05", "permuted-logits"))


def test_a_plan_in_eighty_columns_breaks_no_name_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(width=80, file=io.StringIO(), record=True)
    monkeypatch.setattr(console, "out", screen)
    planned = plan.build(plan.read_suite("attacks-quick"))
    console.plan_table(planned, [False] * len(planned), Graph.of(planned, Settings()), 1)
    message = set(screen.export_text().split())
    assert {p.cell.attack.name for p in planned} | {p.cell.lock.name for p in planned} <= message
    settings = ("attack.trials=13", "threat.wordlist=", "published", "threat.unlabelled=true", "editor+settings")
    assert message.issuperset((*settings, "calibration:", "digits:fonts"))


def test_the_models_an_attack_runs_and_the_code_that_scores_it_are_part_of_the_identity() -> None:
    cell = plan.make_cell("modellock", "difo", "digits", "cnn", {"threat.access": "weights"})
    inputs = identity.of(cell, Settings()).inputs
    assert set(inputs["unlocked"]["assets"]) == {"clip"}
    assert "bench.harness.scoring" in inputs["record"]["code"]


def test_a_plan_of_several_seeds_is_that_of_each_seed() -> None:
    line = plan.SuiteLine(
        ["modellock", "ntl"], ["finetune", "tent"], ["digits"], ["vit"], sweep={"threat.share": [0.05, 0.1]},
        replicates=[0, 2], unfit="leave",
    )  # fmt: skip
    both = plan.build([line])
    alone = [planned for seed in (0, 2) for planned in plan.build([replace(line, replicates=[seed])])]
    assert both == alone
    assert {planned.cell.replicate for planned in both} == {0, 2}


def test_what_cells_share_is_worked_out_once_and_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    line = plan.SuiteLine(["modellock"], ["finetune", "tent"], ["digits"], ["vit"], replicates=[0, 1], unfit="leave")
    cells = [planned.cell for planned in plan.build([line])]
    shared = [identity.of(cell, Settings()) for cell in cells]
    for cell, own in zip(cells, shared, strict=True):
        monkeypatch.setattr(identity, "_locked", {})
        assert identity.of(cell, Settings()) == own
    assert len({own.record for own in shared}) == len(cells)
    assert len({own.hashes["judged"] for own in shared}) < len(cells)


def test_a_file_that_changes_within_a_process_changes_the_identity(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    cell = plan.make_cell("given", "none", "digits", "vit", {"lock.file": str(file), "lock.key": "none"})
    before = identity.of(cell, Settings()).hashes["protected"]
    assert identity.of(cell, Settings()).hashes["protected"] == before
    file.write_bytes(b"two, which is longer")
    assert identity.of(cell, Settings()).hashes["protected"] != before


def test_the_words_that_an_attack_gets_are_part_of_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = plan.make_cell("modellock", "prompt-search", "digits", "cnn", {"threat.wordlist": "published"})
    before = identity.of(cell, Settings()).hashes
    words = (identity.WORDS / "published.txt").read_text(encoding="utf-8")
    (tmp_path / "published.txt").write_text(words.partition("\n")[2])
    monkeypatch.setattr(identity, "WORDS", tmp_path)
    after = identity.of(cell, Settings()).hashes
    assert {stage for stage in before if before[stage] != after[stage]} == {"unlocked", "record"}


def test_a_sweep_that_cannot_be_read_names_its_own_option() -> None:
    with pytest.raises(UserError, match=r"cannot read --sweep 'lock.alpha'") as caught:
        plan.parse_sweeps(["lock.alpha"])
    assert "--sweep lock.alpha=0.1,0.5" in caught.value.remedy
