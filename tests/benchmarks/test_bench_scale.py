"""The benchmark of scale on some hundred records: every command works. Its table is in docs/results/scale.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scale

from bench.store import Store, index


def test_every_command_on_a_small_store(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "PLANNED", 400)
    used = benchmark.pedantic(lambda: dict(scale.measure(600, 1, tmp_path, html=False)), rounds=1)
    assert all(usage.status == 0 for usage in used.values())
    assert "nothing to do" in (tmp_path / "run.txt").read_text(encoding="utf-8")
    store = Store(tmp_path / "store", write=False)
    assert len(store.verified()) == 600
    assert (store.root / index.NAME).is_file()
