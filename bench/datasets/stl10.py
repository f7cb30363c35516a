"""``stl10``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource, param
from bench.datasets import _torchvision, alignment
from bench.datasets.alignment import NINE, OBJECTS
from bench.datasets.base import Dataset


class STL10(DataSource):
    """5000 photographs (STL-10), classes in CIFAR-10's order, fetched on first use, 10 classes."""

    title = "STL10"
    paper = "Coates et al., An Analysis of Single-Layer Networks, AISTATS 2011"
    licence = "none stated; the images are of ImageNet, for research"
    archives = {
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz": (
            2_640_397_119, "md5:91f7769df0f17e558f3565bffb0c7dfb",
        ),
    }  # fmt: skip
    unpacked = ("stl10/stl10_binary",)

    classes: str = param(
        "family", "`shared`: the nine classes that CIFAR-10 and STL-10 share", choices=("family", "shared")
    )

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        data = _torchvision.build("stl10", "STL10", (("split", "train"),), OBJECTS, size)
        return data if self.classes == "family" else alignment.restricted(data, NINE)
