"""Plugins of a suite and of --plugin: every command knows them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import PLUGINS

Bench = Callable[..., Any]
SUITE = """plugins = ["code/quick_lock.py", "code/tint.py", "code/nosy.py", "code/tiny.py"]
[[row]]
locks = ["quick-lock"]
attacks = ["logit-surgery"]
models = ["tiny"]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite whose plugins lie beside it, in a folder that no command runs in."""
    (tmp_path / "mine" / "code").mkdir(parents=True)
    for name in ("quick_lock", "tint", "nosy", "tiny"):
        shutil.copy(PLUGINS / f"{name}.py", tmp_path / "mine" / "code")
    (tmp_path / "mine" / "s.toml").write_text(SUITE)
    return tmp_path / "mine" / "s.toml"


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--dry-run"],
        ["status", "--store", "STORE"],
        ["report", "--store", "STORE"],
        ["baseline", "save", "b.json", "--store", "STORE"],
        ["list"],
        ["show", "quick-lock"],
        ["why", "", "--store", "STORE"],
    ],
    ids=lambda c: c[0],
)
def test_every_command_knows_the_plugins_of_a_suite(
    command: list[str], suite: Path, bench: Bench, real_store: Path, tmp_path: Path
) -> None:
    arguments = [str(real_store) if word == "STORE" else word for word in command]
    got = bench(*arguments, "--suite", str(suite), cwd=tmp_path)
    assert "unknown" not in got.stderr
    assert "defect" not in got.stderr
    if command[0] == "baseline":  # its rows are not of this store
        assert "rows of suite" in got.stderr
    else:
        assert got.returncode == 0, got.stderr
        assert "quick-lock" in got.stdout


def test_a_gate_knows_them_too(suite: Path, bench: Bench, real_store: Path, tmp_path: Path) -> None:
    got = bench("gate", str(tmp_path / "none.json"), "--suite", str(suite), "--candidate", str(real_store))
    assert "none.json" in got.stderr
    assert "unknown" not in got.stderr


def test_a_file_named_twice_is_one(suite: Path, bench: Bench, tmp_path: Path) -> None:
    again = suite.parent / "code" / "quick_lock.py"
    got = bench("run", "--dry-run", "--suite", str(suite), "--plugin", str(again), cwd=tmp_path)
    assert got.returncode == 0, got.stderr


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        ('"my_lock.py"', 'plugins = ["my_lock.py"]'),
        ('["no.py"]', "does not exist"),
        ('["a\\u0000b.py"]', "no path can hold"),
        ('["~nobody-here/x.py"]', "home that is not known"),
    ],
)
def test_plugins_that_cannot_be_read(plugins: str, said: str, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f"plugins = {plugins}\n[[row]]\n")
    got = bench("run", "--dry-run", "--suite", "s.toml", cwd=tmp_path)
    assert got.returncode == 2
    assert len(got.stderr.splitlines()) == 2
    assert said in got.stderr
