"""Two drivers on one store: whoever starts ends the jobs of the dead, and leaves those of the living."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.store import Store, locks

pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")
from bench.harness.launchers import slurm  # it needs submitit


def test_a_driver_that_lives_keeps_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(slurm, "cancel", ended.extend)
    root = Store(tmp_path / "s").root
    room = root / slurm.FOLDER
    for name in ("living", "dead"):
        (room / name).mkdir(parents=True)
        (room / name / slurm.JOBS).write_text(json.dumps([f"{name}_0"]))
    end = locks.create(root, slurm._lock_of(room / "living"))
    assert end is not None
    slurm.end_jobs_of(root, room)
    assert ended == ["dead_0"]
    assert [p.name for p in room.iterdir() if p.is_dir()] == ["living"]
    end()
    slurm.end_jobs_of(root, room)
    assert ended == ["dead_0", "living_0"]
