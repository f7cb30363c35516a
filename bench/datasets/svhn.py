"""``svhn``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset
from bench.datasets.digits import CLASSES


class SVHN(DataSource):
    """10000 house numbers (SVHN), fetched on first use, 10 classes."""

    title = "SVHN"
    paper = "Netzer et al., Reading Digits in Natural Images, 2011"
    licence = "non-commercial use"
    archives = {
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat": (182_040_794, "md5:e26dedcc434d2e4c54c9b2d4a06d8373"),
    }
    unpacked = ("svhn/train_32x32.mat",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("svhn", "SVHN", (("split", "train"),), CLASSES, size)
