"""``mnist-m``: MNIST's digits blended into colour patches by absolute difference, by the published rule.

The rule of Y. Ganin et al., "Domain-Adversarial Training of Neural Networks" (JMLR 2016): |patch − digit|, with a
random patch of a photograph of BSDS500. That the digit is made black and white first is not in the paper; the public
script ``create_mnistm.py`` of pumpikano/tf-dann does so.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.contracts import DataSource, param
from bench.datasets import _torchvision, contents, decoding, listing
from bench.datasets.base import Dataset, channels_first, to_uint8
from bench.datasets.digits import CLASSES
from bench.datasets.digits_m import textures
from bench.datasets.mnist import MNIST
from bench.errors import UserError
from bench.paths import data_home
from bench.seeds import derive

SIDE = 28
BSDS = "bsds500"
"""The folder of photographs, below that of the data."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits that ``mnist`` has, in its order: (N, 28, 28) uint8, 0 or 255, and labels (N,) int64."""
    pixels, labels = _torchvision.opened("mnist", "MNIST", (("train", True),))
    taken = _torchvision.stratified(labels, _torchvision.MOST)
    return np.where(pixels[taken] > 0, np.uint8(255), np.uint8(0)), labels[taken]


def photographs(folder: Path) -> list[np.ndarray]:
    """The photographs in ``images/train`` below ``folder``, else in ``folder`` itself: (H, W, 3) uint8 each.

    Raises:
        UserError: there are none of at least 28 × 28 pixels, or one cannot be read.
    """
    inside = (
        next((p for p in sorted(folder.rglob("images/train")) if p.is_dir()), folder) if folder.is_dir() else folder
    )
    files = [p for p in listing.entries(inside) if p.suffix.lower() in listing.EXTENSIONS] if inside.is_dir() else []
    out = []
    for file in files:
        try:
            with decoding.quiet(), Image.open(file, formats=decoding.formats()) as image:
                pixels = np.asarray(image.convert("RGB"))
        except Exception as error:  # Pillow's readers raise nearly anything on broken files
            raise UserError(f"{file} cannot be read: {decoding.reason(file, error)}.", "Fetch it again.") from None
        if min(pixels.shape[:2]) >= SIDE:
            out.append(pixels)
    if not out:
        raise UserError(
            f"There are no photographs in {inside}.",
            "Unpack BSR_bsds500.tgz into the folder bsds500 of the data, or use -p task.ground=textures.",
        )
    return out


def patches(images: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` random patches of random ``images``: (n, 28, 28, 3) uint8."""
    out = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for patch in out:
        image = images[int(rng.integers(len(images)))]
        top, left = (int(rng.integers(side - SIDE + 1)) for side in image.shape[:2])
        patch[:] = image[top : top + SIDE, left : left + SIDE]
    return out


def blended(ground: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """|ground − digit|: (N, 28, 28, 3) and (N, 28, 28) uint8 to (N, 28, 28, 3) uint8."""
    apart = np.abs(ground.astype(np.int16) - strokes[..., None].astype(np.int16))
    result: np.ndarray = apart.astype(np.uint8)
    return result


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int, ground: str, _content: str) -> Dataset:
    """MNIST's digits on patches that ``generator_seed`` moves; strokes, order and labels stay."""
    strokes, labels = digits()
    rng = np.random.default_rng(derive("mnist-m", generator=generator_seed))
    if ground == "textures":
        behind = to_uint8(textures(len(strokes), SIDE, rng))
    else:
        behind = patches(photographs(data_home() / BSDS), len(strokes), rng)
    images = channels_first(_torchvision.resized(blended(behind, strokes), size))
    return Dataset("mnist-m", images, torch.from_numpy(labels), CLASSES, origin="mnist")


class MNISTM(DataSource):
    """10000 of MNIST's digits blended into colour patches (MNIST-M); MNIST is fetched on first use, 10 classes."""

    title = "MNIST-M"
    paper = "Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016"
    deviations = (
        "By default patches are our procedural textures, since no package carries BSDS500; ground=photographs is the "
        "published rule.",
        "Which patch a digit has is drawn anew: the authors publish no seed.",
        "Digits are made black and white first, as the public script create_mnistm.py of pumpikano/tf-dann does; the "
        "paper does not say so.",
    )
    licence = "that of MNIST, and of BSDS500 where its photographs are used: non-commercial research"
    archives = {
        **MNIST.archives,
        "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz": (70_763_455, ""),
    }
    unpacked = MNIST.unpacked
    reads = {"ground=photographs": "bsds500"}
    images_of = "mnist"
    split_alike = True

    ground: str = param(
        "textures",
        "what lies behind the digits: our textures, or patches of BSDS500",
        choices=("textures", "photographs"),
    )

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        folder = data_home() / BSDS
        content = contents.of_all(folder) if self.ground == "photographs" and folder.is_dir() else ""
        return build(size, generator_seed, self.ground, content)
