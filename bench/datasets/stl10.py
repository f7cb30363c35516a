"""``stl10``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset


class STL10(DataSource):
    """5000 photographs (STL-10), classes in CIFAR-10's order, fetched on first use, 10 classes."""

    title = "STL10"
    paper = "Coates et al., An Analysis of Single-Layer Networks, AISTATS 2011"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("stl10", "STL10", (("split", "train"),), _torchvision.OBJECTS, size)
