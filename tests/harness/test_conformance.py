"""`bench check` before it measures anything: what a cell that runs would not show. Nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import PLUGINS

from bench import registry
from bench.cli import stubs
from bench.errors import UserError
from bench.harness import conformance

LOCK = (PLUGINS / "quick_lock.py").read_text()
KEY = (PLUGINS / "tint.py").read_text().replace('"tint"', '"broken"')
MODEL = (PLUGINS / "tiny.py").read_text()
TASK = stubs.TASK.replace("CLASS", "Broken").replace("NAME", "broken").replace("TITLE", "broken")
ATTACK = (PLUGINS / "nosy.py").read_text()
BROKEN = [
    ("no paper", LOCK, 'paper = "ours"', "", "names no paper"),
    ("a parameter without a meaning", LOCK, '"optimiser steps"', '" "', "steps has no meaning"),
    ("quick with an unknown name", LOCK, '{"steps": 2}', '{"stepz": 2}', "Did you mean lock.steps"),
    ("an import that fails", LOCK, "import torch\n", "import torch\nimport no_such_module\n", "no_such_module"),
    ("a key without its method", KEY, '"method": "broken", ', "", "not 'broken'"),
    ("a key that forgets", KEY, 'Red(value["amount"])', "Red(0.1)", "another key than"),
    ("keyed images out of range", KEY, ".clamp(0, 1)", " + 1", "not within 0 and 1"),
    ("a key that moves", KEY, "Red(self.amount)", "Red(torch.seed() % 97 / 1000)", "the same seed gives another key"),
    ("few images of a class", TASK, "300) % 3", "300) // 149", "fewer than 10 images of right"),
    ("images of another size", TASK, "size, size), generator", "8, 8), generator", "8 × 8 pixels, not 16 × 16"),
    ("a model that ignores extra outputs", MODEL, "task, extra, hidden", "task, 0, hidden", "it has 10 and 0"),
    ("a model that is none", MODEL, "return TimmClassifier(", "return str(", "must return a Classifier"),
]


def _before_measuring(file: Path) -> list[conformance.Check]:
    """The checks of the file's plugin, those left out that run a cell."""
    plugins = registry.use([file], run_guests=False)
    info = next(i for kind in registry.KINDS for i in plugins.all(kind).values() if i.guest)
    out = []
    for check in conformance.check(info, (str(file),)):
        out.append(check)
        if not check.ok or check.name == "its quick parameters are allowed":
            break
    return out


@pytest.mark.parametrize(
    ("source", "old", "new", "says"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_a_broken_plugin_is_named(source: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in source
    file = tmp_path / "broken.py"
    file.write_text(source.replace(old, new))
    last = _before_measuring(file)[-1]
    assert not last.ok
    assert says in last.detail


@pytest.mark.parametrize("source", [KEY, MODEL, TASK, ATTACK], ids=["key", "model", "task", "attack"])
def test_a_sound_plugin_passes_so_far(source: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    assert [check.detail for check in _before_measuring(file) if not check.ok] == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"threat.share"', '"share"', "defaults holds 'share'"),
        ('"threat.share"', '"threat.shape"', "defaults holds 'threat.shape'"),
        ('"threat.share": 0.0', '"threat.share": 2', "threat.share=2 is not allowed"),
    ],
)
def test_defaults_of_an_attack_are_fields_of_its_rights(old: str, new: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(ATTACK.replace(old, new, 1))
    with pytest.raises(UserError, match=says) as error:
        registry.use([file], run_guests=False).find("attack", "broken")
    assert "broken.py" in error.value.message
