"""One function makes or finds every artefact."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness.artefacts import load_json, save_json
from bench.harness.stages import stage
from bench.store import Store


def test_an_artefact_is_made_once_and_always_read_from_the_store(tmp_path: Path) -> None:
    store, calls = Store(tmp_path / "s"), []

    def make() -> dict[str, object]:
        calls.append(1)
        return {"pair": (1, 2)}

    values = [stage(store, "key", "a" * 20, make, save_json, load_json) for _ in range(2)]
    assert calls == [1]
    assert values == [{"pair": [1, 2]}] * 2, "a first run and a repeated one compute on what the file holds"


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def fail() -> dict[str, object]:
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        stage(store, "key", "b" * 20, fail, save_json, load_json)
    assert not store.has("key", "b" * 20)
    assert not list((store.root / "tmp").iterdir())
