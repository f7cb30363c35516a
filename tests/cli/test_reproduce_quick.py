"""Each recipe at its true architecture and image size, for two steps on generated pictures with random weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import plan
from bench.api import quick
from bench.store import Store

Bench = Callable[..., Any]
ONE = {
    "jailntl": ("--lock", "cuti", "--attack", "disguise"),
    "jailntl-visda": ("--lock", "cuti", "--attack", "none"),
    "map-cifar-stl": ("--lock", "map"),
    "map-digits": ("--lock", "map"),
    "map-office-home": ("--lock", "map"),
    "map-visda": ("--lock", "map", "--model", "vgg19:256-256"),
    "modellock-pets": ("--attack", "none"),
    "modellock-pets-prompts": (),
    "ntl-cifar-stl": ("--lock", "h-ntl"),
    "ntl-digits": ("--lock", "cupi"),
    "ntl-office-home": ("--lock", "ntl"),
    "ntl-visda": ("--lock", "ntl"),
    "ntp": ("--attack", "finetune"),
    "sophon": ("--attack", "finetune"),
    "transntl": ("--lock", "ntl", "--attack", "transntl"),
}
"""Of each recipe the part that is run: one lock, one attack, one model."""


def test_every_recipe_has_a_part_that_is_run() -> None:
    assert list(ONE) == plan.recipe_names()


@pytest.mark.parametrize("name", plan.recipe_names())
def test_the_short_form_keeps_architecture_and_size(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(quick, "EACH", 1)
    lines = plan.read_suite(name)
    short = quick.short(lines, params=plan.read_recipe(name).quick)
    assert len(short) == len(lines)
    for line, own in zip(lines, short, strict=True):
        assert [model.partition("?")[0] for model in own.models] == [m.partition("?")[0] for m in line.models]
        assert all("start=random" in model for model in own.models)
        assert own.params["task.size"] == line.params["task.size"]
        assert own.params["task.victim_steps"] == own.params.get("lock.steps", 2) == 2
        assert own.params.get("key.editor", "miniature") == "miniature"
    assert plan.build(short)


@pytest.mark.slow  # trains networks of up to 140 million parameters, for two steps each
@pytest.mark.parametrize("name", plan.recipe_names())
def test_a_recipe_runs_at_full_size(name: str, bench: Bench, tmp_path: Path) -> None:
    arguments = ("--quick", "--device", "cpu", "--jobs", "1", "--store", str(tmp_path / "s"))
    got = bench("reproduce", name, *ONE[name], *arguments)
    assert got.returncode == 0, got.stdout + got.stderr
    records = Store(tmp_path / "s-quick", write=False).records()
    assert records
    assert all(record.status == "ok" for record in records), [record.error for record in records]
    assert {record.cell.size for record in records} == {plan.read_suite(name)[0].params["task.size"]}


@pytest.mark.slow  # an editor of 1.07 thousand million parameters edits a few pictures, in the recipe's five steps
@pytest.mark.skipif(
    "LOCKBENCH_FULL_EDITOR" not in os.environ, reason="set LOCKBENCH_FULL_EDITOR=1: some 10 GB, minutes"
)
def test_modellock_runs_with_an_editor_of_full_size(bench: Bench, tmp_path: Path) -> None:
    from full_editor import save_editor

    editor = save_editor(tmp_path / "editor")
    arguments = ("--quick", "--device", "cpu", "--jobs", "1", "--store", str(tmp_path / "s"), "--editor", str(editor))
    got = bench("reproduce", "modellock-pets-prompts", *arguments)
    assert got.returncode == 0, got.stdout + got.stderr
