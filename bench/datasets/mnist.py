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
    licence = "CC BY-SA 3.0, as Keras states it; its authors state none"
    archives = {
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz": (
            9_912_422, "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        ),
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz": (
            28_881, "md5:d53e105ee54ea40749a09fcbcd1e9432",
        ),
        "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz": (
            1_648_877, "md5:9fb629c4189551a2d022fa330f9573f3",
        ),
        "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz": (
            4_542, "md5:ec29112dd5afa0611ce80d1b7f02629c",
        ),
    }  # fmt: skip
    unpacked = ("mnist/MNIST/raw/t10k-labels-idx1-ubyte",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("mnist", "MNIST", (("train", True),), CLASSES, size)
