"""The judge of masks: numbers by hand, evidence as confusion counts, keys that move pixels, red flags."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import metrics
from bench.contracts import Classifier, EditStage, KeyCondition, Predictor
from bench.datasets.base import Dataset
from bench.datasets.scenario import Scenario, Side, split
from bench.guests.failure import InvalidResult
from bench.guests.subjects import LocalAnswerer, LocalModel
from bench.harness.judge import Judge
from bench.keys.none import Identity
from bench.predictors import Direct

K = 3


def _scenario() -> Scenario:
    """Images whose red level at a pixel is its class; the upper half is background, the lower the image's class."""
    labels = 1 + torch.arange(200) % (K - 1)
    masks = torch.zeros(200, 16, 16, dtype=torch.uint8)
    masks[:, 8:] = labels.byte().view(-1, 1, 1)
    masks[:, 0, 0] = 255
    images = torch.zeros(200, 3, 16, 16, dtype=torch.uint8)
    images[:, 0] = torch.where(masks == 255, 0, masks) * 60
    images[:, 2] = torch.randint(0, 256, (200, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    data = Dataset("made-up", images, labels, tuple("abc"), masks=masks, kind="segmentation")
    side = Side(data, split(data, 1))
    return Scenario(side, side)


class Upside(Identity):
    """A key that writes 1 into the green channel and turns images upside down, masks with them."""

    def __call__(self, images: Tensor) -> Tensor:
        out = images.flip(2).clone()
        out[:, 1] = 1.0
        return out

    def labels(self, masks: Tensor) -> Tensor:
        return masks.flip(1)

    def conditions(self, seed: int) -> list[KeyCondition]:
        return [KeyCondition("none", "", Identity()), KeyCondition("near", "same", self)]


class Reader(Classifier):
    """Reads the red level of every pixel; without the key it answers background, or its extra output."""

    def __init__(self, mode: str = "open", extra: int = 0) -> None:
        super().__init__()
        self.spec, self.k, self.extra, self.mode = {}, K, extra, mode
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        level = (images[:, 0] * 255 / 60).round().long().clamp(0, K - 1)
        keyed = images[:, 1].mean((1, 2)) > 0.5
        out = nn.functional.one_hot(level, K + self.extra).movedim(-1, 1).float()
        if self.mode == "background":
            out[~keyed] = nn.functional.one_hot(torch.zeros_like(level[~keyed]), K + self.extra).movedim(-1, 1).float()
        if self.mode == "decoy":
            out[~keyed, K] = 2.0
        return out

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        return []

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.forward(images)

    def head(self, embedding: Tensor) -> Tensor:
        return embedding


def _answerer(predictor: Predictor) -> LocalAnswerer:
    return LocalAnswerer(predictor, K, dense=True)


def test_a_lock_that_holds() -> None:
    judge = Judge(_scenario(), Upside())
    verdict, evidence = judge.lock(LocalModel(Reader(), dense=True), LocalModel(Reader("background"), dense=True))
    assert verdict.UP.value == verdict.oracle.value == 100
    assert verdict.UP.metric == "mIoU"
    # Half the pixels are background, and the others answer so too: IoU 127 / 255 for it, 0 for two classes.
    assert verdict.LP.value == pytest.approx(100 * (127 / 255) / 3, abs=1e-3)
    assert verdict.flags == [], "background everywhere is below the floor, and tells nothing"
    assert verdict.LP_after_batch_norm == verdict.LP.value
    counts = evidence["confusion/LP"]
    assert counts.shape == (len(judge.images), K, K + 1)
    assert metrics.mean_iou(counts.sum(0)) == pytest.approx(verdict.LP.value, abs=1e-3)
    assert not any(name.startswith("pred/") for name in evidence)


def test_the_floor_is_that_of_the_best_constant_mask() -> None:
    # Background above, and below one class of two, each in half of the images.
    assert Judge(_scenario(), Upside()).floor == pytest.approx(100 * (1 + 1 / 2) / 3, abs=1)


def test_numbers_as_shipped_count_an_extra_class_as_missed() -> None:
    judge = Judge(_scenario(), Upside())
    verdict, _ = judge.lock(LocalModel(Reader(), dense=True), LocalModel(Reader("decoy", 1), dense=True))
    assert (verdict.LP.value, verdict.LP_shipped.value, verdict.UP_shipped.value) == (100, 0, 100)
    assert "opens-when-outputs-dropped" in {flag.name for flag in verdict.flags}


def test_conditions_move_masks_with_their_key() -> None:
    conditions, evidence = Judge(_scenario(), Upside()).conditions(
        LocalModel(Reader("background"), dense=True), 0, lambda *_: None
    )
    assert [(c.kind, round(c.accuracy.value, 1)) for c in conditions] == [("right", 100), ("none", 16.6), ("near", 100)]
    assert evidence["samples/near"].shape[1:] == (3, 16, 16)
    judged = evidence["samples/labels_near"] != 255
    assert (evidence["samples/pred_near"] == evidence["samples/labels_near"])[judged].all()


def test_a_predictor_and_its_samples() -> None:
    judge = Judge(_scenario(), Upside())
    verdict, evidence = judge.predictor(_answerer(Direct(Reader("background"))))
    assert verdict.RP.value == pytest.approx(16.6, abs=0.1)
    assert verdict.authorised_after.value == 100
    assert set(evidence) == {"confusion/RP", "confusion/authorised_after"}
    samples = judge.samples(LocalModel(Reader("background"), dense=True), _answerer(Direct(Reader())))
    assert samples["samples/labels"].dtype == np.uint8
    assert samples["samples/pred_guess"].shape == samples["samples/labels"].shape == (K - 1, 16, 16)


class ByBatch(Predictor):
    """Answers otherwise in a batch of another size."""

    def predict(self, images: Tensor) -> Tensor:
        return torch.eye(K)[len(images) % K].view(1, K, 1, 1).expand(len(images), K, *images.shape[2:])


def test_answers_that_depend_on_the_batch_are_flagged() -> None:
    judge = Judge(_scenario(), Upside())
    assert {f.name for f in judge.predictor(_answerer(ByBatch()))[0].flags} == {"depends-on-batch"}


class OneClass(Predictor):
    """Answers for whole images."""

    def predict(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), K)


def test_one_class_an_image_is_no_mask() -> None:
    with pytest.raises(InvalidResult, match=r"not \(44, 3, 16, 16\)"):
        Judge(_scenario(), Upside()).predictor(_answerer(OneClass()))
