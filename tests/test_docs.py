"""The tutorial's commands are run in its order; the other pages' commands name what exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from places import DOCS, ROOT

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
