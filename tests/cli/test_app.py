"""The command line itself: help, versions, platforms, and arguments that are no text."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bench.cli import app

Bench = Callable[..., Any]


@pytest.mark.parametrize("arguments", [[], ["baseline"], ["--help"]])
def test_a_command_alone_is_help_and_no_error(arguments: list[str], bench: Bench) -> None:
    got = bench(*arguments)
    assert got.returncode == 0
    assert got.stderr == ""
    assert "Usage" in got.stdout


def test_version_names_python_and_torch_without_importing_it() -> None:
    code = "import sys, bench.cli\ntry: bench.cli.main()\nfinally: assert 'torch' not in sys.modules"
    got = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    torch = importlib.metadata.version("torch")
    assert (
        got.stdout
        == f"LockBench {importlib.metadata.version('lockbench')}, Python {platform.python_version()}, torch {torch}\n"
    )
    assert got.returncode == 0


def test_on_windows_it_says_where_it_runs() -> None:
    code = "import sys\nsys.platform = 'win32'\nsys.modules['fcntl'] = None\nimport bench.cli\nbench.cli.main()"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert got.returncode == 2
    assert got.stderr == "LockBench runs on Linux, macOS or WSL.\n"


@pytest.mark.parametrize("text", ["a\0b", "caf\udce9"])
def test_an_argument_that_is_no_text_is_refused(text: str, bench: Bench) -> None:
    got = bench("run", "--lock", text, "--dry-run")
    assert got.returncode == 2
    assert len(got.stderr.splitlines()) == 2
    assert "defect" not in got.stderr


def test_what_the_disk_refuses_is_no_defect(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr(app.console, "named_list", lambda *_: refuse())
    got = bench("list")
    assert got.returncode == 2
    assert got.stderr.splitlines()[0] == "error: /some/file: Permission denied."
