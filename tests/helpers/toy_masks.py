"""A task of three classes for every pixel, and a small classifier of pixels: what runs per pixel is tested on it."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import IGNORED, Batch, Classifier, EditStage, Images, Spec
from bench.training import Run

SPEC = Spec(size=16, classes=("background", "light", "striped"), kind="segmentation")


class ToySegmenter(Classifier):
    """Two convolutions with batch norm, and a head that answers at twice their resolution."""

    dense = True

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = copy.deepcopy(spec)
        self.k, self.extra = int(spec["k"]), int(spec.get("extra", 0))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, 8, 3, stride=s, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            for a, s in ((3, 1), (8, 2))
        )
        self.last = nn.Conv2d(8, self.k + self.extra, 3, padding=1)

    @classmethod
    def of(cls, task: Spec, extra: int = 0, seed: int = 0) -> ToySegmenter:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls({"class": "toy_masks:ToySegmenter", "k": task.k, "extra": extra}).eval()

    def _pass(self, images: Tensor, edit_stage: EditStage | None) -> list[Tensor]:
        out, x = [], images - 0.5
        for i, stage in enumerate(self.stages):
            x = stage(x)
            x = x if edit_stage is None else edit_stage(i, x)
            out.append(x)
        return out

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        return self._pass(images, edit_stage)

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self._pass(images, edit_stage)[-1]

    def head(self, embedding: Tensor) -> Tensor:
        return nn.functional.interpolate(self.last(embedding), scale_factor=2, mode="bilinear")

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.head(self.embed(images, edit_stage))


@functools.cache
def trained(inverted: bool = False) -> ToySegmenter:
    """A model that is right on the toy task, or on its inverted images."""

    def loss(batch: Batch) -> Tensor:
        images = 1 - batch.images if inverted else batch.images
        return nn.functional.cross_entropy(model(images), batch.labels)

    model = ToySegmenter.of(SPEC)
    Run(1).fit(model, loss, 60, toy_masks(60, 0), rate=2e-2, batch=30)
    return model


def toy_masks(n: int, seed: int) -> Images:
    """``n`` images: a light or striped square on a dark ground; the last row of pixels is not judged."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand((n, 3, 16, 16), generator=rng) * 0.2
    masks = torch.zeros((n, 16, 16), dtype=torch.uint8)
    for i in range(n):
        y, x = torch.randint(1, 8, (2,), generator=rng).tolist()
        label = 1 + i % 2
        images[i, :, y : y + 7 : label, x : x + 7] += 0.7
        masks[i, y : y + 7, x : x + 7] = label
    masks[:, -1] = IGNORED
    return Images((images * 255).byte(), masks)
