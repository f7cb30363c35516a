"""``cifar10``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset


class CIFAR10(DataSource):
    """10000 small photographs (CIFAR-10), fetched on first use, 10 classes."""

    title = "CIFAR10"
    paper = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("cifar10", "CIFAR10", (("train", True),), _torchvision.OBJECTS, size)
