"""A key in the weights from the lock to the judge: what ships, what the rightful user runs, what an attack sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from places import PLUGINS
from torch import Tensor, nn

from bench import models, plan
from bench.contracts import Budget, Classifier, EditStage, Spec, ThreatModel, Withheld
from bench.datasets.base import Dataset
from bench.datasets.scenario import Scenario, Side, split
from bench.errors import UserError
from bench.guests import checks
from bench.guests.failure import InvalidResult
from bench.guests.subjects import LocalModel
from bench.harness.artefacts import Trained, flat, load_trained, parted, save_trained
from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.grants import MOST_PLACES, _places, materialise
from bench.harness.judge import Judge
from bench.harness.under_key import LockedModel, under
from bench.keys.none import Identity
from bench.keys.weights import WeightKey
from bench.records import Cell, PluginRef
from bench.store import Store
from bench.store.settings import Settings

WITHHELD = {"dummy": Withheld(torch.tensor([0]), torch.tensor([1.0]))}


K = 4


def _scenario() -> Scenario:
    """Images whose red level is the class: readable by arithmetic."""
    labels = torch.arange(400) % K
    images = torch.randint(0, 2, (400, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    images[:, 0] += (labels * 60).byte().view(-1, 1, 1)
    data = Dataset("made-up", images, labels, tuple("abcd"))
    side = Side(data, split(data, 1))
    return Scenario(side, side)


class Switched(Classifier):
    """Reads the red level where its one weight is 1, else answers the first class."""

    def __init__(self, on: bool = False) -> None:
        super().__init__()
        self.spec, self.k, self.extra = {}, K, 0
        self.dummy = nn.Parameter(torch.full((1,), float(on)))

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        level = (images[:, 0].mean((1, 2)) * 255 / 60).round().long().clamp(0, K - 1)
        return nn.functional.one_hot(level if float(self.dummy.detach()) == 1.0 else level * 0, K).float()

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        return []

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.forward(images)

    def head(self, embedding: Tensor) -> Tensor:
        return embedding


def _locked() -> LockedModel:
    def rebuild(state: Mapping[str, Tensor]) -> LocalModel:
        model = Switched()
        model.load_state_dict(dict(state))
        return LocalModel(model)

    shipped = Switched()
    return LockedModel(LocalModel(shipped), shipped.state_dict(), WITHHELD, rebuild)


def test_up_is_that_of_the_whole_model_and_lp_that_of_what_ships_on_the_same_images() -> None:
    judge = Judge(_scenario(), WeightKey())
    verdict, evidence = judge.lock(LocalModel(Switched(True)), _locked())
    assert (verdict.UP.value, verdict.LP.value, verdict.oracle.value) == (100, 25, 100)  # type: ignore[union-attr]
    assert verdict.flags == []
    assert verdict.key_megabytes == round(12e-6, 3)
    assert evidence["pred/UP"].tolist() == judge.labels.tolist()
    samples = judge.samples(_locked(), None)
    assert samples["samples/pred_key"].tolist() == samples["samples/labels"].tolist()
    assert set(samples["samples/pred_raw"].tolist()) == {0}


def test_each_key_condition_is_judged_on_the_model_it_makes() -> None:
    conditions, _ = Judge(_scenario(), WeightKey()).conditions(_locked(), 0, lambda *_: None)
    got = {condition.name: condition.accuracy.value for condition in conditions}
    assert got["right"] == 100
    assert got["none"] == got["partial/half"] == 25, "half of one weight is none of it"
    assert got["wrong/values"] == 100, "one value has one order"


def test_a_model_without_withheld_weights_is_itself_under_every_key() -> None:
    model = LocalModel(Switched())
    assert under(model, WeightKey()) is model
    locked = _locked()
    assert locked.under(WeightKey()) is locked.under(WeightKey()), "the right key's model is made once"


def test_withheld_weights_lie_beside_the_classifier_and_never_in_it(tmp_path: Path) -> None:
    state = {"w": torch.zeros(3)}
    withheld = {"w": Withheld(torch.tensor([2]), torch.tensor([0.5]))}
    assert parted({**state, **flat(withheld)})[0] == state
    save_trained(Trained({}, state, withheld=withheld), tmp_path)
    again = load_trained(tmp_path)
    assert again.state["w"].tolist() == [0, 0, 0]
    assert again.withheld["w"].at.tolist() == [2]
    assert again.withheld["w"].values.tolist() == [0.5]
    assert "0.5" not in (tmp_path / "meta.json").read_text()


@pytest.mark.parametrize(
    ("at", "values", "message"),
    [
        ([0, 0], [1.0, 1.0], "twice, or beyond"),
        ([3], [1.0], "twice, or beyond its 3"),
        ([-1], [1.0], "twice, or beyond"),
        ([0], [1.0, 2.0], r"not \(n,\) int64"),
        ([0.0], [1.0], r"not \(n,\) int64"),
        ([0], [float("nan")], "not finite"),
    ],
)
def test_what_is_no_part_of_the_classifier_is_refused(at: list[int], values: list[float], message: str) -> None:
    with pytest.raises(InvalidResult, match=message):
        checks.withheld({"w": Withheld(torch.tensor(at), torch.tensor(values))}, {"w": torch.zeros(3)}, "lock x")
    with pytest.raises(InvalidResult, match="is no parameter"):
        checks.withheld({"v": Withheld(torch.tensor(at), torch.tensor(values))}, {"w": torch.zeros(3)}, "lock x")


@pytest.mark.parametrize("known", ["none", "editor+settings", "geometry"])
def test_an_attack_gets_what_ships_and_places_only_where_they_are_known(known: str) -> None:
    locked = models.build("cnn", Spec(32, tuple("abcd")), 0, "random", 1)
    trained = Trained(locked.spec, locked.state_dict(), withheld={"net.fc.bias": WITHHELD["dummy"]})
    threat = ThreatModel(access="weights", share=0.1, unlabelled=False, wordlist="none", known=known)
    names = {kind: PluginRef(name="none") for kind in ("lock", "attack")}
    cell = Cell(
        scenario="digits", model="cnn", key=PluginRef(name="weights"), threat=threat, budget=Budget(), replicate=0,
        **names,  # type: ignore[arg-type]
    )  # fmt: skip
    job = materialise(_scenario(), trained, WeightKey(), cell, 3, 5, Settings(threads=1))
    assert job.classifier is not None
    assert all(torch.equal(job.classifier[1][n], w) for n, w in locked.state_dict().items())
    assert job.known == ({"geometry": {"net.fc.bias": [0]}} if known == "geometry" else {})


def test_a_key_and_a_lock_that_do_not_go_together_are_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"key 'weights' does not go with the lock 'ntl', which withholds no weights"):
        plan.make_cell("ntl", "none", "digits", "cnn", {"lock.key": "weights"})
    with pytest.raises(UserError, match=r"key 'edit' does not go with the lock 'ada-loc'"):
        plan.make_cell("ada-loc", "none", "digits", "cnn", {"lock.key": "edit"})
    assert plan.make_cell("none", "none", "digits", "cnn", {"lock.key": "weights"}).key.name == "weights"
    assert plan.make_cell("ada-loc", "finetune", "digits", "cnn", {}).key.name == "weights"
    assert isinstance(WeightKey().conditions(0)[0].key, Identity)


@pytest.mark.slow
def test_a_lock_of_someone_elses_withholds_weights_through_its_process(tmp_path: Path) -> None:
    """The victim is trained, and lock and models run in processes: what crosses them is what is under test."""
    files = tuple(str(PLUGINS / f"{name}.py") for name in ("tiny", "withholding"))
    context = Context(Store(tmp_path / "store", entropy="plan"), Settings(threads=1, plugin_files=files))
    params = {"task.size": 16}
    cell = plan.make_cell("withholding", "none", "shapes", "tiny", params)
    record = run_cell(cell, context)
    assert record.status == "ok", record.error
    assert record.UP == record.victim_authorised == record.oracle
    assert record.LP is not None
    assert record.UP is not None
    assert record.LP.value < record.UP.value
    assert record.RP == record.LP, "the attack has what ships"
    assert {c.kind for c in record.conditions} == {"right", "none", "partial", "near", "wrong"}
    assert record.key == WeightKey().to_json()
    wrong = run_cell(plan.make_cell("withholding", "none", "shapes", "tiny", {**params, "lock.beyond": True}), context)
    assert wrong.status == "invalid"
    assert "beyond its" in str(wrong.error)


def test_more_places_than_a_message_holds_are_not_handed_over() -> None:
    many = torch.arange(MOST_PLACES + 1)
    trained = Trained({}, {}, withheld={"w": Withheld(many, many.float())})
    with pytest.raises(UserError, match="300,001 places of weights are withheld"):
        _places(trained)
    assert _places(None) == _places(Trained({}, {})) == {}
