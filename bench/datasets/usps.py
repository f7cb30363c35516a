"""``usps``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset
from bench.datasets.digits import CLASSES


class USPS(DataSource):
    """7291 handwritten digits (USPS), fetched on first use, 10 classes."""

    title = "USPS"
    paper = "Hull, A database for handwritten text recognition research, 1994"
    licence = "none stated"
    archives = {
        "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/usps.bz2": (
            None, "md5:ec16c51db3855ca6c91edd34d0e9b197",
        ),
    }  # fmt: skip
    unpacked = ("usps/usps.bz2",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("usps", "USPS", (("train", True),), CLASSES, size)
