"""What is measured of answers: accuracy over images, or the mean intersection over union of masks. All in percent.

A measure turns scores into answers, one array entry for each image. All it says later comes from these: the answers
of a record are its evidence, and intervals are over images.

| kind of task | answers | evidence |
|---|---|---|
| classification | (n,) the class of each image | ``pred/NAME`` |
| segmentation | (n, K, K + 1) confusion counts of each image | ``confusion/NAME`` |
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench import metrics
from bench.contracts import IGNORE, IGNORED, Spec
from bench.records import Measured, Metric

Answers = npt.NDArray[Any]
"""One entry for each image."""
FEW = 0.02
"""Share of an image's pixels that may change before its answer counts as another."""


class Measure(Protocol):
    """How answers are judged."""

    name: ClassVar[Metric]
    prefix: ClassVar[str]
    """Of the names of its evidence."""

    def answers(self, scores: Tensor, labels: Tensor) -> Answers:
        """Scores of (n, K) or more outputs, or of (n, K, H, W), to answers; ``labels`` are those of the images."""
        ...

    def value(self, answers: Answers, labels: Tensor) -> float:
        """Percent; ``labels`` are those of the same images."""
        ...

    def measured(self, answers: Answers, labels: Tensor) -> Measured:
        """The same with its interval over images."""
        ...

    def constant(self, labels: Tensor) -> Answers:
        """The best answer that is the same for all images, as answers to images of ``labels``: the floor's."""
        ...

    def changed(self, first: Answers, second: Answers) -> int:
        """Of how many images two answers differ."""
        ...


class Accuracy:
    """Percent of images whose class is right, with Wilson's interval."""

    name: ClassVar[Metric] = "accuracy"
    prefix: ClassVar[str] = "pred"

    def answers(self, scores: Tensor, labels: Tensor) -> Answers:
        return np.asarray(scores.argmax(1).numpy())

    def value(self, answers: Answers, labels: Tensor) -> float:
        return round(metrics.accuracy(answers, labels.numpy()), 4)

    def measured(self, answers: Answers, labels: Tensor) -> Measured:
        low, high = metrics.image_interval(answers == labels.numpy())
        return Measured(value=self.value(answers, labels), n=len(labels), low=round(low, 4), high=round(high, 4))

    def constant(self, labels: Tensor) -> Answers:
        return np.full(len(labels), int(torch.bincount(labels).argmax()))

    def changed(self, first: Answers, second: Answers) -> int:
        return int((first != second).sum())


class MeanIoU:
    """Mean over the classes of intersection over union, over all pixels of all images, with a bootstrap over images.

    Args:
        k: K, the number of real classes.
    """

    name: ClassVar[Metric] = "mIoU"
    prefix: ClassVar[str] = "confusion"

    def __init__(self, k: int) -> None:
        self.k = k

    def answers(self, scores: Tensor, labels: Tensor) -> Answers:
        return confusion(scores.argmax(1), labels, self.k)

    def value(self, answers: Answers, labels: Tensor) -> float:
        return round(metrics.mean_iou(answers.sum(0)), 4)

    def measured(self, answers: Answers, labels: Tensor) -> Measured:
        low, high = metrics.mean_iou_interval(answers)
        value = self.value(answers, labels)
        low, high = min(round(low, 4), value), max(round(high, 4), value)
        return Measured(value=value, n=len(answers), low=low, high=high, metric="mIoU")

    def constant(self, labels: Tensor) -> Answers:
        """As `Measure.constant`.

        It is one of the K masks of one class, or the mask that has every pixel's most frequent class.
        """
        counts = torch.stack([(labels == label).sum(0) for label in range(self.k)])
        masks = [*(torch.full(labels.shape[1:], label) for label in range(self.k)), counts.argmax(0)]
        answers = (confusion(mask.expand(labels.shape), labels, self.k) for mask in masks)
        return max(answers, key=lambda counts: metrics.mean_iou(counts.sum(0)))

    def changed(self, first: Answers, second: Answers) -> int:
        moved = np.abs(first.astype(np.int64) - second.astype(np.int64)).sum((1, 2)) / 2
        return int((moved > FEW * first.sum((1, 2))).sum())


def confusion(predicted: Tensor, masks: Tensor, k: int) -> npt.NDArray[np.int32]:
    """Pixels of each image by true and predicted class: (n, K, K + 1); the last column is no real class.

    Args:
        predicted: (n, H, W) int64; an output beyond the K counts as none of them.
        masks: (n, H, W) as batches or sets have them: int64 with `IGNORE`, or uint8 with `IGNORED`, where a pixel is
            not judged.
    """
    out = np.empty((len(masks), k, k + 1), dtype=np.int32)
    for i in range(len(masks)):
        true = masks[i].long()
        judged = (true != IGNORE) & (true != IGNORED)
        pairs = true[judged] * (k + 1) + predicted[i][judged].clamp_max(k)
        out[i] = torch.bincount(pairs, minlength=k * (k + 1)).reshape(k, k + 1).numpy()
    return out


def of(spec: Spec) -> Measure:
    """The measure of a kind of task."""
    return MeanIoU(spec.k) if spec.is_dense else Accuracy()
