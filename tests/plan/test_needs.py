"""What a recipe needs, and what of it is on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import plan
from bench.plan import needs


def _states(images: dict[str, int], lines: list[plan.SuiteLine]) -> dict[str, str]:
    recipe = replace(plan.read_recipe("sophon"), images=images)
    return {need.name: need.state for need in needs.of_recipe(recipe, lines)}


def test_data_is_here_to_fetch_or_has_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.bz2").write_bytes(b"x")
    names = {"digits": 1797, "mnist": 1, "usps": 1, "nowhere:part": 1, f"folder:{tmp_path}": 1, "folder:/nowhere": 1}
    assert _states(names, []) == {
        "digits": "here", "mnist": "to fetch", "usps": "here", "nowhere:part": "no plugin",
        f"folder:{tmp_path}": "here", "folder:/nowhere": "to fetch",
    }  # fmt: skip


def test_weights_and_editors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    params = {"task.size": 32, "key.editor": "nobody/editor"}
    line = plan.SuiteLine(["modellock"], ["none"], ["digits"], ["cnn", "resnet18", "resnet18?start=random"], params)
    states = _states({}, [line, replace(line, models=["vit"], params={"key.editor": "miniature"})])
    assert states == {
        "cnn": "here", "resnet18": "to fetch", "resnet18?start=random": "here", "vit": "here",
        "nobody/editor": "to fetch", "miniature": "here",
    }  # fmt: skip


def test_sizes_follow_from_parameters() -> None:
    line = plan.SuiteLine(["ntl"], ["none"], ["digits:fonts"], ["resnet18"], {"task.size": 32})
    (weights,) = needs.of_recipe(replace(plan.read_recipe("sophon"), images={}), [line])
    assert weights.size == pytest.approx(4e-6 * 11_177_538)  # of ResNet-18 with two outputs


def test_tasks_without_data_are_named() -> None:
    assert list(needs.missing(["digits", "nowhere", "digits:fonts"])) == ["nowhere"]
