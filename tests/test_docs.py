"""The tutorial's commands are run in its order; the other pages' commands name what exists."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from places import DOCS, ROOT

from bench.cli.app import app
from bench.plan import suites

Bench = Callable[..., subprocess.CompletedProcess[str]]
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _commands(page: Path) -> list[str]:
    """Every command of the ``sh`` blocks of a page, without comments; a line that ends in ``\\`` goes on."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [
        line.partition(" #")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_and_options_exist(page: Path) -> None:
    for command in _commands(page):
        program, *words = shlex.split(command.split("|")[0])
        if program != "bench":
            continue
        found = typer.main.get_command(app)
        while words and words[0] in getattr(found, "commands", {}):
            found = found.commands[words.pop(0)]
        assert not hasattr(found, "commands"), f"no such command: {command}"
        options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if word.startswith("-"):
                assert word.partition("=")[0] in options, f"{word}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_suite_has_what_a_command_names_of_it(page: Path) -> None:
    """Also in tables: a command there is how its numbers are made, and a narrowed suite may have nothing left."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    for command in (*_commands(page), *spans):
        if not command.startswith("bench run") or "--suite" not in command:
            continue
        words = shlex.split(command)
        suite = words[words.index("--suite") + 1]
        if not (suite in suites.suite_names() or (ROOT / suite).exists()):
            continue  # a placeholder, or a file that the page tells the reader to write
        pairs = list(itertools.pairwise(words))
        named = {
            f"{kind}s": [value for option, value in pairs if option == f"--{kind}" and value.islower()]
            for kind in ("lock", "attack", "task", "model")
        }
        file = suite if suite in suites.suite_names() else str(ROOT / suite)
        assert suites.suite_lines(file, named), command


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_command_of_the_tutorial(bench_process: Bench, tmp_path: Path) -> None:
    commands = _commands(DOCS / "tutorial.md")
    assert len(commands) >= 15
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "bench", command
        done = bench_process(*arguments, cwd=tmp_path, CUDA_VISIBLE_DEVICES="")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (tmp_path / "page" / "index.html").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
