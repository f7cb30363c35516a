"""``mnist``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset
from bench.datasets.digits import CLASSES


class MNIST(DataSource):
    """10000 handwritten digits (MNIST), fetched on first use, 10 classes."""

    title = "MNIST"
    paper = "LeCun et al., Gradient-based learning applied to document recognition, 1998"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("mnist", "MNIST", (("train", True),), CLASSES, size)
