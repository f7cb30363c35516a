"""The commit that the source of this process is. No torch here."""

from __future__ import annotations

import subprocess

from bench.source_files import OWN, ROOT


def commit() -> str | None:
    """The hash of the checkout's commit, where the Python files are as they are in it; None anywhere else."""
    code = [f":(glob){name}/**/*.py" for name in OWN]
    head = _git("rev-parse", "--verify", "HEAD")
    if head is None or _git("status", "--porcelain", "--", *code) != "":
        return None
    return head if _git("rev-parse", "--show-prefix") == "" else None


def _git(*arguments: str) -> str | None:
    """What ``git`` prints in the folder of the source; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
