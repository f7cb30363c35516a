"""`bench check`: a plugin of one's own, looked at before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from places import PLUGINS


@pytest.mark.slow  # trains a victim, as the plugin's first user would
def test_a_sound_plugin_passes_and_a_broken_one_is_named(bench: Any, tmp_path: Path) -> None:
    got = bench("check", str(PLUGINS / "quick_lock.py"), f"--plugin={PLUGINS / 'tint.py'}")
    assert got.returncode == 0, got.stdout + got.stderr
    assert "all checks passed" in got.stdout
    broken = tmp_path / "broken_lock.py"
    text = (PLUGINS / "quick_lock.py").read_text()
    broken.write_text(text.replace("return model", "return 3"))
    got = bench("check", str(broken), f"--plugin={PLUGINS / 'tint.py'}")
    assert got.returncode == 1
    assert "FAILED a small cell is measured" in got.stdout
    assert "must return a Classifier" in got.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "holds no plugin"),
        ("def (\n", "no valid Python (line 1)"),
        ("from bench.contracts import Attack\n\n\nclass A(Attack):\n    paper = 3\n", "paper is no text"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(text: str, says: str, bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    got = bench("check", str(file))
    assert got.returncode == 2
    assert says in got.stderr
