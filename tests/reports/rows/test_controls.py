"""What a row lacks, and the commands that make a row or a control again."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from example_records import CURVE, baselines, calibration, record, the_row, world

from bench import plan
from bench.cli import run
from reports.rows.aggregate import rows
from reports.rows.controls import Controls
from reports.rows.rerun import USUAL_PRECISION, USUAL_THREADS, command_of, commands_of
from reports.text.tables import as_object, render


class TestMissingControls:
    @pytest.mark.parametrize("lost", ["destroyed", "permuted-logits", "public baseline"])
    def test_a_row_without_a_control_shows_no_result(self, lost: str) -> None:
        lock = {"public baseline": "none"}.get(lost, lost)
        records = [r for r in world((80.0,), curve=CURVE) if r.cell.lock.name != lock]
        row = the_row(records)
        assert [lack.control for lack in row.missing] == [lost]
        shown = as_object(row)
        assert [shown[k] for k in ("RP", "advantage", "recovery", "curve")] == [None] * 4
        assert not {"RP", "advantage", "recovery"} & (set(shown["intervals"]) | set(shown["per_seed"]))
        assert shown["LP"] == 20.0
        for fmt in ("md", "csv", "json", "latex"):
            assert f"--lock {lock}" in render([row], fmt).replace("{}", "")

    def test_the_commands(self) -> None:
        row = the_row([record(replicate=i, scenario="folder:/my photos", threat={"share": 0.05}) for i in (0, 2)])
        assert {lack.control: lack.command for lack in row.missing} == {
            "public baseline": "bench run --lock none --attack from-scratch --task 'folder:/my photos' --model vit "
            "--seeds 0:3 -p threat.share=0.05",
            "permuted-logits": "bench run --lock permuted-logits --attack logit-surgery --task 'folder:/my photos' "
            "--model vit --seeds 0:1",
            "destroyed": "bench run --lock destroyed --attack prompt-search --task 'folder:/my photos' --model vit "
            "--seeds 0:1 -p budget.guesses=64 -p threat.access=weights -p threat.share=0.05",
        }

    def test_anothers_controls_do_not_stand_beside_our_row(self) -> None:
        records = world((80.0,), (30.0,))
        for control in [r for r in records if r.cell.attack.name == "from-scratch" or r.cell.lock.name == "destroyed"]:
            control.third_party = "theirs.zip"
        assert [lack.control for lack in the_row(records).missing] == ["public baseline", "destroyed"]
        for record_ in records:
            record_.third_party = "theirs.zip"
        assert not the_row(records).missing

    def test_one_replicate_without_baseline_is_enough(self) -> None:
        row = the_row(world((80.0, 60.0), (30.0,)))
        assert row.mean("RP") is None
        assert [lack.control for lack in row.missing] == ["public baseline"]

    def test_controls_of_another_scenario_do_not_count(self) -> None:
        elsewhere = [
            r.model_copy(update={"cell": r.cell.model_copy(update={"scenario": "shapes"})}) for r in calibration()
        ]
        row = the_row([record(), *elsewhere, *baselines(30.0)])
        assert {lack.control for lack in row.missing} == {"permuted-logits", "destroyed"}

    def test_a_failed_control_does_not_count(self) -> None:
        records = world()
        broken = next(r for r in records if r.cell.lock.name == "destroyed")
        broken.status, broken.error = "failed", "RuntimeError"
        assert [lack.control for lack in the_row(records).missing] == ["destroyed"]

    def test_a_calibration_lock_that_nothing_attacked_does_not_count(self) -> None:
        idle = [record(lock, attack="none", RP=None) for lock in ("destroyed", "permuted-logits")]
        row = the_row([record(), *idle, *baselines(30.0)])
        assert {lack.control for lack in row.missing} == {"permuted-logits", "destroyed"}

    def test_a_calibration_lock_without_a_baseline_keeps_its_recovery(self) -> None:
        row = the_row(calibration(), lock="permuted-logits", attack="logit-surgery")
        assert [lack.control for lack in row.missing] == ["public baseline"]
        assert (row.mean("recovery"), row.mean("advantage")) == (1.0, None)

    def test_the_lock_that_must_open_counts_under_its_opener_alone(self) -> None:
        """Another attack that leaves it closed says nothing of the judge."""
        pool = [r for r in world() if r.cell.lock.name != "permuted-logits"]
        row = the_row([*pool, record("permuted-logits", "prompt-search", RP=12.0, LP=3.0)])
        assert [lack.control for lack in row.missing] == ["permuted-logits"]

    @pytest.mark.parametrize("changed", ["fingerprint", "n"])
    def test_a_baseline_on_other_data_does_not_count(self, changed: str) -> None:
        """A folder may have grown under its name."""
        pool = world((80.0,), (30.0,))
        for each in pool:
            each.provenance.data_fingerprint = "now"
            if each.cell.attack.name == "from-scratch" and each.RP is not None:
                if changed == "fingerprint":
                    each.provenance.data_fingerprint = "then"
                else:
                    each.RP = each.RP.model_copy(update={"n": 57})
        row = the_row(pool)
        assert [lack.control for lack in row.missing] == ["public baseline on the same data"]
        assert row.missing[0].command.startswith("bench run --lock modellock --attack prompt-search")
        assert (row.mean("RP"), row.mean("advantage")) == (None, None)

    def test_no_attack_no_rp(self) -> None:
        row = the_row([*world(), record(attack="none", RP=20.0)], attack="none")
        assert row.mean("RP") is None
        assert row.mean("LP") == 20.0
        assert not row.missing

    def test_a_given_checkpoint_has_no_oracle_and_lacks_none(self) -> None:
        audit = record("given", oracle=None, victim_authorised=None, conditions=[])
        audit.cell.lock.role = "given"
        row = the_row([*world(), audit], lock="given")
        assert (row.mean("oracle"), row.mean("recovery"), row.mean("advantage")) == (None, None, 50.0)


class TestCommands:
    @pytest.mark.parametrize(
        ("lock", "attack", "task", "params", "editor"),
        [
            ("modellock", "prompt-search", "digits-m", {}, "miniature"),
            ("modellock", "prompt-search", "digits", {"lock.alpha": 0.3, "lock.decoys": "fixed"}, "miniature"),
            ("ntl", "finetune", "digits", {"lock.key": "edit", "threat.share": 0.123456789}, "miniature"),
            ("ntl", "finetune", "digits:fonts", {"attack.steps": 7, "budget.steps": 12}, "miniature"),
            ("ntl", "none", "digits", {"task.size": 48, "lock.key": "patch"}, "miniature"),
            ("none", "from-scratch", "digits", {"threat.unlabelled": False, "threat.share": 1e-05}, "miniature"),
            ("modellock", "prompt-search", "digits", {"threat.listed": False, "budget.guesses": 9}, "other editor"),
        ],
    )  # fmt: skip
    def test_planning_a_command_gives_its_cell(
        self, lock: str, attack: str, task: str, params: dict[str, Any], editor: str
    ) -> None:
        cell = plan.make_cell(
            lock, attack, task, "vit", {**params, **({"key.editor": editor} if editor != "miniature" else {})}, 3
        )
        assert _planned(command_of(cell), cell.row_key(), 3) == cell

    def test_threads_and_precision_are_named_where_they_are_not_what_bench_run_takes_by_itself(self) -> None:
        """They are part of a record's identity: another number of threads makes another record."""
        usual = {name: p.default for name, p in inspect.signature(run.run).parameters.items()}
        assert (usual["threads"], usual["precision"]) == (USUAL_THREADS, USUAL_PRECISION)
        cell = plan.make_cell("modellock", "none", "digits", "vit", {})
        assert "--threads" not in command_of(cell, threads=USUAL_THREADS)
        assert " --threads 2 --precision bf16" in command_of(cell, threads=2, precision="bf16")
        own = record()
        own.provenance.threads, own.provenance.dtype = 2, "bf16"
        (lack, *_) = Controls([]).missing([own])
        assert "--threads 2 --precision bf16" in lack.command

    def test_an_ensembles_row_names_its_own_version(self) -> None:
        cell = record().cell
        older = cell.attack.model_copy(update={"name": "ensemble", "explicit": {"version": 1}})
        assert "--suite ensemble-v1 " in command_of(cell.model_copy(update={"attack": older}))

    def test_seeds_that_follow_one_another_share_a_command(self) -> None:
        cell = plan.make_cell("modellock", "none", "digits", "vit", {})
        assert [c.split("--seeds ")[1] for c in commands_of(cell, (0, 1, 2, 5))] == ["0:3", "5:6"]

    def test_every_cell_of_a_suite(self) -> None:
        for item in plan.build(plan.read_suite("quick")):
            cell = item.cell
            assert _planned(command_of(cell), cell.row_key(), cell.replicate) == cell

    @pytest.mark.parametrize(
        ("lock", "attack", "task", "params"),
        [
            ("modellock", "logit-surgery", "digits", {"lock.key": "blockwise", "threat.share": 0.05}),
            ("ntl", "finetune", "digits:fonts", {"attack.steps": 7, "threat.share": 0.1}),
            ("ntl", "transntl", "digits", {"task.size": 48, "lock.key": "patch"}),
        ],
    )
    def test_a_missing_controls_command_makes_what_the_plan_would(
        self, lock: str, attack: str, task: str, params: dict[str, Any]
    ) -> None:
        cell = plan.make_cell(lock, attack, task, "cnn", params, replicate=3)
        lacking = record(lock, attack).model_copy(update={"cell": cell})
        wanted = {(c.lock.name, c.attack.name): c for c, _ in reversed(plan.controls_of(cell))}
        commands = {lack.control: lack.command for lack in Controls([]).missing([lacking])}
        for control, names in {
            "public baseline": ("none", "from-scratch"),
            "destroyed": ("destroyed", attack),
            "permuted-logits": ("permuted-logits", "logit-surgery"),
        }.items():
            assert _planned(commands[control], wanted[names].row_key(), 3) == wanted[names]

    def test_a_plugin_that_is_not_installed(self) -> None:
        assert command_of(record("my-lock").cell).endswith("--plugin FILE.py")


def _planned(command: str, row_key: str, replicate: int) -> Any:
    """The cell of that row key which the command's plan holds."""
    import shlex

    words = shlex.split(command)[2:]
    options: dict[str, list[str]] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        options.setdefault(name, []).append(value)
    (seeds,) = options["--seeds"]
    row = plan.SuiteLine(
        options["--lock"], options["--attack"], options["--task"], options["--model"],
        params=plan.parse_params(options.get("-p", [])), replicates=plan.parse_seeds(seeds),
    )  # fmt: skip
    (cell,) = [
        p.cell for p in plan.build([row]) if p.cell.row_key() == row_key and p.cell.replicate == replicate
    ]  # fmt: skip
    return cell


def test_controls_are_found_wherever_a_folder_lay() -> None:
    """A hash knows a folder by its name and content, so controls of before it moved are reused."""
    old, new = "folder:/one/photos", "folder:/two/photos"
    own = record("modellock", "finetune", scenario=new)
    controls = [
        record("destroyed", "finetune", RP=30.0, LP=10.0, scenario=old),
        record("permuted-logits", "logit-surgery", RP=90.0, LP=3.0, scenario=old),
        record("none", "from-scratch", RP=30.0, scenario=old),
    ]
    (row,) = [r for r in rows([own, *controls]) if r.role != "control"]
    assert row.missing == ()
