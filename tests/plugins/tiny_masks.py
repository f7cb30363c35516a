"""A segmentation model that trains in a moment."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bench.contracts import Architecture, Classifier, EditStage, Spec


class TinyMasksClassifier(Classifier):
    """One convolution with batch norm, and a head of 1 × 1."""

    dense = True

    def __init__(self, spec: dict) -> None:
        super().__init__()
        self.spec, self.k, self.extra = dict(spec), int(spec["k"]), int(spec["extra"])
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Conv2d(8, self.k + self.extra, 1)

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        out = self.body(images)
        return out if edit_stage is None else edit_stage(0, out)

    def head(self, embedding: Tensor) -> Tensor:
        return self.last(embedding)

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.head(self.embed(images, edit_stage))

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        return [self.embed(images, edit_stage)]


class TinyMasks(Architecture):
    """A tiny segmenter."""

    title = "tiny segmenter"
    paper = "ours"
    tasks = ("segmentation",)
    steps = 30
    rate = 1e-2

    def build(self, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
        return TinyMasksClassifier({"class": f"{__name__}:TinyMasksClassifier", "k": task.k, "extra": extra})
