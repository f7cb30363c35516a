"""One function makes or finds every artefact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from bench import fetching, plan, plugin_modules, registry, source_files, supplies
from bench.api.execution import Execution
from bench.errors import UserError
from bench.harness import query_interface, stage_run
from bench.harness.artefacts import load_json, save_json
from bench.harness.context import Context
from bench.harness.failure import Failure
from bench.harness.stages import stage
from bench.harness.watch import Watch
from bench.need import Need
from bench.store import Store, code, identity
from bench.store.settings import Settings


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


_STATE_NO_NUMBER = {
    "bench", "bench.supplies", "bench.harness.context", "bench.harness.failure", "bench.guests.remote_key",
    "bench.harness.key_process",  # in the hash of a guest's key
}  # fmt: skip
"""What stages import and no hash knows: failures, downloads, and the calls to a guest's key."""


def test_what_a_stage_computes_with_is_in_a_hash() -> None:
    hashes = identity.of(plan.make_cell("modellock", "knockoff", "digits", "cnn", {}), Settings())
    inputs = hashes.inputs.values()
    known = {module for stage in inputs for part in ("code", "process") for module in stage.get(part, {})}
    known |= set(hashes.inputs["base"]["data"]["code"])
    direct = {name for name, _ in plugin_modules.imports(source_files.path_of("bench.harness.stages"))}
    rest = {name for name in direct - known if not name.startswith(code._DECIDE_NOTHING)}
    assert rest == _STATE_NO_NUMBER
    assert "bench.harness.stages" not in known, "it wires stages; what decides a number belongs in a module of its own"


@pytest.mark.parametrize(("access", "answers"), [("labels", [[0.0, 1.0, 0.0]]), ("logits", [[0.5, 2.0, -1.0]])])
def test_an_interface_answers_with_what_the_threat_model_grants(access: str, answers: list[list[float]]) -> None:
    class Model:
        def outputs(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.5, 2.0, -1.0]]).expand(len(images), 3)

    ask = query_interface.of(access, cast("Callable[[], Any]", Model))
    assert ask is not None
    assert ask(torch.zeros(1, 3, 4, 4)).tolist() == answers
    assert query_interface.of("weights", cast("Callable[[], Any]", Model)) is None


class _Ears(Watch):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def remark(self, text: str) -> None:
        """Keep it."""
        self.heard.append(text)


def test_weights_are_fetched_by_the_stage_that_reads_them_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = Need("weights", "x", "hub", "someone/x", here=False)

    def fetch(each: Need) -> None:
        fetching.announce(each.name, 5_000_000, each.place)
        raise UserError("someone/x cannot be fetched.", "Fetch it by hand.")

    monkeypatch.setattr(supplies, "of_cell", lambda _cell: [need])
    monkeypatch.setattr(supplies, "fetch", fetch)
    settings, watch = Settings(threads=1), _Ears()
    planned = [plan.Planned(plan.make_cell("none", "none", "digits", "cnn", {}), plan.ASKED)]
    store = Store(tmp_path / "s", entropy="plan")
    with Execution(planned, settings, store) as execution:
        execution.prepare(jobs=1)
    assert not watch.heard
    result = stage_run.run_stage("victim", planned[0].cell, Context(store, settings, watch))
    assert isinstance(result, Failure)
    assert result.error == "someone/x cannot be fetched. Fetch it by hand."
    assert watch.heard == ["fetching x (5.0 MB) from someone/x"]


def test_code_that_was_changed_since_the_run_began_is_named(tmp_path: Path) -> None:
    """A plugin's process reads the file when it starts, and a hash is of the file before."""
    file = tmp_path / "own_lock.py"
    file.write_text((Path(__file__).parents[1] / "plugins" / "tiny.py").read_text(encoding="utf-8"))
    with_file = registry.Registry([file], run_guests=False)
    info = next(i for i in with_file.all("model").values() if i.file == file)
    before = code.code_identity(info)
    assert code.edited(before, info) == []
    file.write_text(file.read_text(encoding="utf-8") + "\nMORE = 1\n")
    assert code.edited(before, info) == ["own_lock"]
