"""What is public to the attacker is what the victim started from, whatever weights a user names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from places import PLUGINS
from torch import Tensor

from bench import models, plan
from bench.augment import jitter
from bench.checkpoints.model_names import parse
from bench.contracts import Images, Spec
from bench.datasets import scenario
from bench.harness import attack_process, grants, victim
from bench.harness.artefacts import Trained
from bench.harness.lock_process import WiredDefenderView
from bench.keys.none import Identity
from bench.records import Cell
from bench.store.settings import Settings
from bench.training import Run

MODEL = "resnet10t"
FILE = str(PLUGINS / "shows_public.py")
HEAD = ("net.fc.weight", "net.fc.bias")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of weights of another number of classes, as a training script keeps it."""
    state = models.build(MODEL, Spec(32, ("a", "b", "c")), weights="random", seed=5).state_dict()
    file = tmp_path / "public & more.pth"
    torch.save({"state_dict": {name.replace("net.", "module.", 1): value for name, value in state.items()}}, file)
    return file


def _cell(name: str) -> Cell:
    return plan.make_cell("none", "none", "digits", name, {})


def _of_victim(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The weights that the victim of ``cell`` is trained from."""
    monkeypatch.setattr(Run, "fit", lambda *_, **__: None)
    data = Images(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    return dict(victim.train(cell.model, Spec(32, tuple("0123456789")), data, Run(1, "cpu"), jitter).state_dict())


def _of_attacker(cell: Cell) -> dict[str, Tensor]:
    """The weights of the public model that an attack has in its process."""
    data = scenario.load("digits", 0)
    settings = Settings(threads=1, plugin_files=(FILE,))
    shown = cell.model_copy(update={"attack": cell.attack.model_copy(update={"name": "shows-public"})})
    locked = models.build("cnn", data.spec, weights="random")
    job = grants.materialise(data, Trained(locked.spec, locked.state_dict()), Identity(), shown, 3, 5, settings)
    (state,) = attack_process.run(job, None, lambda *_: None).states
    return {name.removeprefix("classifier."): value for name, value in state.items()}


def test_the_attacker_has_the_file_that_the_victim_started_from(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = _cell(f"{MODEL}?weights={str(weights).replace('&', '%26')}")
    start, public = _of_victim(cell, monkeypatch), _of_attacker(cell)
    assert start.keys() == public.keys()
    saved = torch.load(weights, weights_only=True)["state_dict"]
    for name in start.keys() - set(HEAD):
        assert torch.equal(start[name], public[name]), name
        assert torch.equal(start[name], saved[name.replace("net.", "module.", 1)]), name
    lock = WiredDefenderView(None, Spec(32, tuple("0123456789")), cell.model, 7, "jitter")  # type: ignore[arg-type]
    own = lock.public_model(1).state_dict()
    assert all(torch.equal(own[name], start[name]) for name in start.keys() - set(HEAD))


def test_without_weights_nothing_is_public_and_the_record_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = _cell(f"{MODEL}?weights=none")
    assert cell.model == cell.row()["model"] == f"{MODEL}?start=random"
    assert parse(cell.model).start == "random"
    start, public = _of_victim(cell, monkeypatch), _of_attacker(cell)
    assert not torch.equal(start["net.conv1.0.weight"], public["net.conv1.0.weight"])


def test_a_file_that_has_changed_since_the_plan_is_refused(weights: Path) -> None:
    cell = _cell(f"{MODEL}?weights={str(weights).replace('&', '%26')}")
    torch.save({"fc.weight": torch.zeros(1)}, weights)
    with pytest.raises(Exception, match="is not what it was"):
        models.build(cell.model, Spec(32, ("a", "b")))
