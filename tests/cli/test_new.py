"""`bench new` writes plugins under names that are free: neither a built-in's nor one that Python needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import stubs
from bench.source_files import ROOT

Bench = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("lock", "modellock", "comes with LockBench"),
        ("lock", "destroyed", "the control 'destroyed'"),
        ("lock", "none", "the control 'none'"),
        ("attack", "from-scratch", "the control 'from-scratch'"),
        ("task", "digits", "comes with LockBench"),
        ("task", "base", "beside its plugins"),
        ("lock", "class", "word of Python"),
        ("lock", "match", "word of Python"),
        ("lock", "random", "Python's own"),
        ("attack", "json", "Python's own"),
        ("lock", "torch", "LockBench imports"),
        ("lock", "My Lock", "Lower-case"),
        ("lock", "2fast", "Lower-case"),
        ("attack", "direct", "the class Direct would hide"),
        ("task", "dataset", "the class Dataset would hide"),
        ("lock", "defender-view", "the class DefenderView would hide"),
        ("lock", "a" * 300, "Lower-case"),
        ("lock", "../up", "Lower-case"),
        ("lock", "ümlaut", "Lower-case"),
        ("lock", "[bold]", "Lower-case"),
        ("kind", "mine", "bench new KIND NAME"),
    ],
)
def test_names_that_are_refused(kind: str, name: str, said: str, bench: Bench, tmp_path: Path) -> None:
    got = bench("new", kind, name, cwd=tmp_path)
    assert got.returncode == 2
    assert said in got.stderr
    assert len(got.stderr.splitlines()) == 2
    assert not list(tmp_path.rglob("*.py"))


@pytest.mark.parametrize("folder", ["x" * 300, "file/in", "~nobody-here"])
def test_folders_that_cannot_be_written(folder: str, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    got = bench("new", "lock", "mine", "--folder", folder, cwd=tmp_path)
    assert got.returncode == 2
    assert len(got.stderr.splitlines()) == 2
    assert "defect" not in got.stderr


def test_a_name_of_another_kind_is_free(bench: Bench, tmp_path: Path) -> None:
    assert bench("new", "attack", "modellock", "--folder", str(tmp_path)).returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["modellock.py"]


@pytest.mark.parametrize(("folder", "named"), [((), True), (("--folder", "mine"), True)])
def test_the_command_that_is_printed_names_a_file_that_nothing_else_finds(
    folder: tuple[str, ...], named: bool, bench: Bench, tmp_path: Path
) -> None:
    done = bench("new", "attack", "my-attack", *folder, cwd=tmp_path)
    (file,) = tmp_path.rglob("*.py")
    assert (f"--plugin {file.relative_to(tmp_path)}" in done.stdout) is named


def test_a_file_among_the_projects_own_is_found_by_itself() -> None:
    assert stubs.is_found("lock", ROOT / "locks" / "mine.py")
    assert not stubs.is_found("lock", ROOT / "attacks" / "mine.py")
