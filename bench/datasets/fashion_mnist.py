"""``fashion-mnist``: from Debian's package ``dataset-fashion-mnist``, else torchvision's folder, else fetched.

The training images alone are used, as of the other sets: the suite has splits of its own. Size and SHA-256 of each
unpacked file are checked, wherever it lies. Licence: MIT (Zalando SE). Size: 30.9 MB packed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from bench.contracts import DataSource, param
from bench.datasets import _torchvision
from bench.datasets._idx import IdxFile
from bench.datasets.base import Dataset, channels_first
from bench.errors import UserError
from bench.paths import data_home

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
IMAGES = IdxFile(
    "train-images-idx3-ubyte", (60_000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
)
LABELS = IdxFile(
    "train-labels-idx1-ubyte", (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
)


def raw_folder() -> Path:
    """Where torchvision puts the files."""
    return data_home() / "fashion-mnist" / "FashionMNIST" / "raw"


def files() -> tuple[Path, Path]:
    """Images and labels: from the first place that has both, else fetched.

    Raises:
        UserError: they are nowhere, and cannot be fetched.
    """
    for folder in (DEBIAN, raw_folder()):
        images, labels = IMAGES.found(folder), LABELS.found(folder)
        if images is not None and labels is not None:
            return images, labels
    _fetch()
    images, labels = IMAGES.found(raw_folder()), LABELS.found(raw_folder())
    if images is None or labels is None:
        raise UserError(f"fashion-mnist is not in {raw_folder()}.", "Install Debian's package dataset-fashion-mnist.")
    return images, labels


def _fetch() -> None:
    import torchvision.datasets

    folder = data_home() / "fashion-mnist"
    try:
        torchvision.datasets.FashionMNIST(str(folder), train=True, download=True)
    except Exception as error:  # of many kinds: no network, a changed file, no space
        raise UserError(
            f"fashion-mnist is neither in {DEBIAN} nor in {folder}, and cannot be fetched ({type(error).__name__}).",
            "Install Debian's package dataset-fashion-mnist; or run the same command once on a connected machine, "
            "and copy that folder here (or set LOCKBENCH_DATA).",
        ) from None


@lru_cache(maxsize=2)
def build(size: int, count: int) -> Dataset:
    """The first ``count`` / 10 training images of each class, resized to ``size`` × ``size`` grey RGB."""
    at_images, at_labels = files()
    labels = LABELS.read(at_labels).astype("int64")
    taken = _torchvision.stratified(labels, count)
    pixels = _torchvision.resized(IMAGES.read(at_images)[taken], size)
    return Dataset("fashion-mnist", channels_first(pixels), torch.from_numpy(labels[taken]), CLASSES)


class FashionMNIST(DataSource):
    """10000 pictures of clothes (Fashion-MNIST), from Debian's package or fetched on first use, 10 classes."""

    title = "Fashion-MNIST"
    paper = "Xiao et al., Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, 2017"
    licence = "MIT (Zalando SE)"
    archives = {
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz": (
            26_421_880, "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        ),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz": (
            29_515, "md5:25c81989df183df01b3e8a0aad5dffbe",
        ),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz": (
            4_422_102, "md5:bef4ecab320f06d8554ea6380940ec79",
        ),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz": (
            5_148, "md5:bb300cfdad3c16e7a12a480ee83cd310",
        ),
    }  # fmt: skip
    unpacked = (
        "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/FashionMNIST/raw/t10k-labels-idx1-ubyte",
    )
    remedy = "Install Debian's package dataset-fashion-mnist."

    count: int = param(10_000, "images taken, the first of each class in equal number", ge=100, le=60_000)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, self.count)
