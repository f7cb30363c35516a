"""The judge: numbers by hand, every red flag raised by a lock or predictor made for it, none by an honest one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import metrics, models
from bench.contracts import Classifier, EditStage, KeyCondition, Predictor
from bench.datasets.base import Dataset
from bench.datasets.scenario import Scenario, Side, split
from bench.guests.subjects import LocalAnswerer, LocalModel
from bench.harness.judge import Judge, LockVerdict
from bench.keys.domain import InDomain
from bench.keys.none import Identity
from bench.predictors import Direct, LogitMap, describe, rebuild
from bench.records import Measured

K = 4


def _scenario() -> Scenario:
    """Images whose red level is the class and whose green level is 0: readable by arithmetic."""
    labels = torch.arange(400) % K
    images = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    images[:, 0] = (labels * 60).byte().view(-1, 1, 1)
    images[:, 2] = torch.randint(0, 256, (400, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    data = Dataset("made-up", images, labels, tuple("abcd"))
    side = Side(data, split(data, 1))
    return Scenario(side, side)


class Green(Identity):
    """A key that writes 1 into the green channel."""

    def __call__(self, images: Tensor) -> Tensor:
        out = images.clone()
        out[:, 1] = 1.0
        return out

    def conditions(self, seed: int) -> list[KeyCondition]:
        keys = {("none", ""): Identity(), ("near", "same"): self, ("near", "other"): Identity()}
        return [KeyCondition(kind, label, key) for (kind, label), key in keys.items()]


class Reader(Classifier):
    """Reads the red level; what it does without the key is ``mode``."""

    def __init__(self, mode: str = "open", extra: int = 0) -> None:
        super().__init__()
        self.spec, self.k, self.extra, self.mode = {}, K, extra, mode
        self.dummy = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        level = (images[:, 0].mean((1, 2)) * 255 / 60).round().long().clamp(0, K - 1)
        keyed = images[:, 1].mean((1, 2)) > 0.5
        out = nn.functional.one_hot(level, K + self.extra).float()
        if self.mode == "wrong":
            out[~keyed] = out[~keyed][:, [1, 2, 3, 0]]
        if self.mode == "constant":
            out[~keyed] = torch.eye(K)[0]
        if self.mode == "decoy":
            out[~keyed, K] = 2.0
        return out

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        return []

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.forward(images)

    def head(self, embedding: Tensor) -> Tensor:
        return embedding


def _flags(locked: Classifier) -> tuple[dict[str, float], set[str]]:
    judge = Judge(_scenario(), Green())
    verdict, _ = judge.lock(LocalModel(Reader()), LocalModel(locked))
    return _values(verdict), {f.name for f in verdict.flags}


def _values(verdict: LockVerdict) -> dict[str, float]:
    return {k: m.value for k in type(verdict).model_fields if isinstance(m := getattr(verdict, k), Measured)}


def test_a_lock_that_holds_raises_no_flag() -> None:
    value, flags = _flags(Reader("constant"))
    assert value["UP"] == value["victim_authorised"] == value["oracle"] == 100
    assert value["LP"] == 25
    assert flags == set()


@pytest.mark.parametrize(
    ("locked", "flag"),
    [
        (Reader("open"), {"lock-is-a-no-op", "up-not-above-lp"}),
        (Reader("wrong"), {"lp-below-floor"}),
        (Reader("decoy", extra=1), {"opens-when-outputs-dropped", "lock-is-a-no-op", "up-not-above-lp"}),
    ],
)
def test_each_flag_of_a_lock(locked: Classifier, flag: set[str]) -> None:
    assert _flags(locked)[1] == flag


def test_numbers_as_shipped_and_over_the_real_classes() -> None:
    value, _ = _flags(Reader("decoy", extra=1))
    assert (value["LP"], value["LP_shipped"], value["UP"], value["UP_shipped"]) == (100, 0, 100, 100)


def test_images_and_answers_under_the_first_near_key_are_kept_to_be_looked_at() -> None:
    _, evidence = Judge(_scenario(), Green()).conditions(LocalModel(Reader("constant")), 0, lambda *_: None)
    assert evidence["samples/near"].shape == (K, 3, 32, 32)
    assert (evidence["samples/near"][:, 1] == 255).all(), "of the first, which writes green"
    assert evidence["samples/pred_near"].tolist() == evidence["samples/labels_near"].tolist() == list(range(K))


def test_two_domains_are_judged_each_by_its_own_labels() -> None:
    scenario = _scenario()
    labels = (torch.arange(240) + 1) % K
    images = torch.zeros(240, 3, 32, 32, dtype=torch.uint8)
    images[:, 0] = (labels * 60).byte().view(-1, 1, 1)
    images[:, 1] = 255
    source = Dataset("source", images, labels, tuple("abcd"))
    judge = Judge(Scenario(Side(source, split(source, 1)), scenario.unauthorised), InDomain())
    value = _values(judge.lock(LocalModel(Reader()), LocalModel(Reader("constant")))[0])
    assert (value["UP"], value["victim_authorised"], value["oracle"], value["LP"]) == (100, 100, 100, 25)
    assert len(judge.authorised_labels) != len(judge.labels)
    assert judge.predictor(LocalAnswerer(Direct(Reader("constant")), K))[0].authorised_after.value == 100


def test_no_victim_no_oracle() -> None:
    verdict, _ = Judge(_scenario(), Green()).lock(None, LocalModel(Reader("constant")))
    assert set(_values(verdict)) == {"UP", "LP", "UP_shipped", "LP_shipped"}


def test_a_lock_that_lives_in_batch_norm_statistics_is_found() -> None:
    scenario = _scenario()
    judge = Judge(scenario, Green())
    spec = scenario.spec
    victim = models.build("cnn", spec, 0, "public", 1)
    from bench.training import Run

    data = scenario.authorised.images(scenario.authorised.splits.defender)
    Run(1).fit(victim, lambda b: nn.functional.cross_entropy(victim(b.images), b.labels), 60, data, rate=3e-3)
    locked = models.rebuild(victim.spec, victim.state_dict())
    for m in locked.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.add_(3 * m.running_var.sqrt())
    verdict, _ = judge.lock(LocalModel(victim), LocalModel(locked))
    assert "lives-in-batch-norm" in {f.name for f in verdict.flags}
    assert verdict.LP_after_batch_norm is not None
    assert verdict.LP_after_batch_norm > verdict.LP.value + 10


def test_what_a_lock_adds_to_the_model_is_counted() -> None:
    judge = Judge(_scenario(), Green())
    victim = models.build("cnn", _scenario().spec, 0, "public", 1)
    width = models.head_names(victim)[0]
    wide = models.widen(victim, 2, 0)
    verdict, _ = judge.lock(LocalModel(victim), LocalModel(wide))
    assert verdict.extra_parameters == 2 * (victim.get_parameter(width).shape[1] + 1)
    assert verdict.key_megabytes == 0
    assert judge.lock(None, LocalModel(wide))[0].extra_parameters is None


class ByBatch(Predictor):
    """Answers with the rank of an image in its batch."""

    def predict(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.arange(len(images)) % K, K).float()


class Online(ByBatch):
    transductive = True


class Memory(Predictor):
    """Knows the very images by heart: the red level, but only of images whose blue channel it has seen."""

    def __init__(self, seen: Tensor) -> None:
        super().__init__()
        self.seen = {row.numpy().tobytes() for row in (seen[:, 2] * 255).round().byte()}

    def predict(self, images: Tensor) -> Tensor:
        level = (images[:, 0].mean((1, 2)) * 255 / 60).round().long().clamp(0, K - 1)
        known = [row.numpy().tobytes() in self.seen for row in (images[:, 2] * 255).round().byte()]
        return nn.functional.one_hot(torch.where(torch.tensor(known), level, 0), K).float()


def test_flags_of_predictors() -> None:
    scenario = _scenario()
    judge = Judge(scenario, Green())
    assert judge.predictor(LocalAnswerer(Direct(Reader()), K))[0].flags == []
    assert {f.name for f in judge.predictor(LocalAnswerer(ByBatch(), K))[0].flags} == {"depends-on-batch"}
    assert judge.predictor(LocalAnswerer(Online(), K))[0].flags == []
    memory = Memory(scenario.authorised.images(scenario.authorised.splits.test).images)
    verdict, _ = judge.predictor(LocalAnswerer(memory, K))
    assert verdict.RP.value == 100
    assert {f.name for f in verdict.flags} == {"too-good-on-labels"}


class ByPlace(Predictor):
    """Knows how many images of each class there are, and counts those it has seen."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.labels, self.seen = labels, 0

    def predict(self, images: Tensor) -> Tensor:
        at = torch.arange(self.seen, self.seen + len(images)) % len(self.labels)
        self.seen += len(images)
        return nn.functional.one_hot(self.labels[at], K).float()


def test_the_place_of_an_image_tells_nothing_of_its_class() -> None:
    """A folder is read class by class."""
    scenario = _scenario()
    data = scenario.authorised.dataset
    order = torch.argsort(data.labels, stable=True)
    sorted_data = Dataset("sorted", data.images[order], data.labels[order], data.classes)
    side = Side(sorted_data, split(sorted_data, 1))
    judge = Judge(Scenario(side, side), Green())
    assert (judge.labels.diff() >= 0).all()
    verdict, _ = judge.predictor(LocalAnswerer(ByPlace(judge.labels), K))
    assert verdict.RP.value < 50


class InLargeBatches(Reader):
    """Works where many images come at once, and is dumb else."""

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        out = super().forward(images, edit_stage)
        return out if len(images) > 64 else out * 0


def test_a_lock_whose_answers_depend_on_the_batch_is_flagged() -> None:
    """It would be closed to every attack that asks in small batches, and open to the judge."""
    judge = Judge(_scenario(), Green())
    verdict, _ = judge.lock(None, LocalModel(InLargeBatches("open")))
    assert "depends-on-batch" in {flag.name for flag in verdict.flags}
    verdict, _ = judge.lock(None, LocalModel(Reader("wrong")))
    assert "depends-on-batch" not in {flag.name for flag in verdict.flags}


def test_samples_show_the_same_images_under_every_key() -> None:
    """A reader compares them column by column."""
    judge = Judge(_scenario(), Green())
    shown = judge.samples(LocalModel(Reader("wrong")), None)
    _, evidence = judge.conditions(LocalModel(Reader("wrong")), 0, lambda *_: None)
    assert np.array_equal(shown["samples/raw"][:, ::2], shown["samples/key"][:, ::2]), "the key writes into green alone"
    assert np.array_equal(shown["samples/raw"][:, ::2], evidence["samples/near"][:, ::2])
    assert np.array_equal(shown["samples/labels"], evidence["samples/labels_near"])
    assert len(shown["samples/labels"]) == K


def test_both_sides_of_a_predictor_are_judged() -> None:
    verdict, _ = Judge(_scenario(), Green()).predictor(LocalAnswerer(Direct(Reader("constant")), K))
    assert (verdict.RP.value, verdict.authorised_after.value) == (25, 100)


def test_a_predictor_crosses_as_json_and_tensors() -> None:
    model = models.build("cnn", _scenario().spec, 1, "random", 3)
    result = LogitMap(Direct(model), K, K + 1).set(torch.rand(K, K + 1), torch.rand(K)).eval()
    again = rebuild(describe(result), result.state_dict())
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again.predict(images), result.predict(images))


def test_metrics_by_hand() -> None:
    assert metrics.accuracy(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])) == 75
    low, high = metrics.image_interval(np.array([True] * 50 + [False] * 50))
    assert (low, high) == pytest.approx((40.38, 59.62), abs=0.01)  # Wilson's of n = 100, p = 1/2
    none = metrics.image_interval(np.zeros(400, bool))
    assert none == pytest.approx((0, 0.951), abs=1e-3), "no hit is not a certain 0"
    with pytest.raises(ValueError):
        metrics.accuracy(np.array([]), np.array([]))
