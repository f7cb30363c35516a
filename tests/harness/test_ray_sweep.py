"""What runs left on a node is swept away, but for runs that are at work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.store import local

pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[ray]'")
from bench.harness.launchers import ray_node  # it needs ray


def test_a_run_at_work_keeps_its_files_however_old_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "folder", lambda: tmp_path)
    monkeypatch.setattr(ray_node, "_claims", [])
    old = time.time() - ray_node.FORGOTTEN - 60
    for name in ("node-a", "node-b"):
        (tmp_path / name / "plugins").mkdir(parents=True)
    ray_node._claim(tmp_path / "node-a")
    for name in ("node-a", "node-b"):
        os.utime(tmp_path / name, (old, old))
    ray_node._sweep()
    assert [p.name for p in tmp_path.iterdir()] == ["node-a"]
    os.close(ray_node._claims[0])
    os.utime(tmp_path / "node-a", (old, old))
    ray_node._sweep()
    assert not list(tmp_path.iterdir())
