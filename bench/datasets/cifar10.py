"""``cifar10``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource, param
from bench.datasets import _torchvision, alignment
from bench.datasets.alignment import NINE, OBJECTS
from bench.datasets.base import Dataset


class CIFAR10(DataSource):
    """10000 small photographs (CIFAR-10), fetched on first use, 10 classes."""

    title = "CIFAR10"
    paper = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    licence = "none stated"
    archives = {
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz": (
            170_498_071, "md5:c58f30108f718f92721af3b95e74349a",
        ),
    }  # fmt: skip
    unpacked = ("cifar10/cifar-10-batches-py",)

    classes: str = param(
        "family", "`shared`: the nine classes that CIFAR-10 and STL-10 share", choices=("family", "shared")
    )

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        data = _torchvision.build("cifar10", "CIFAR10", (("train", True),), OBJECTS, size)
        return data if self.classes == "family" else alignment.restricted(data, NINE)
