"""``imagenette``: ten easy classes of ImageNet, its second version with shorter sides of 320 pixels."""

from __future__ import annotations

from pathlib import Path

from bench.contracts import DataSource
from bench.datasets import _photographs, _torchvision_seg
from bench.datasets.base import Dataset

CLASSES = (
    "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck", "gas pump",
    "golf ball", "parachute",
)  # fmt: skip
"""The classes in the order of their WordNet identifiers."""
PUBLISHED = 9469
"""Photographs of the published training split."""


class Imagenette(DataSource):
    """9469 photographs of ten classes of ImageNet (Imagenette 2), fetched on first use, 10 classes."""

    title = "Imagenette"
    paper = "Howard, Imagenette, github.com/fastai/imagenette, 2019"
    licence = "Apache-2.0; the images are of ImageNet, for research"
    archives = {
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz": (
            341_663_724, "md5:3df6f0d01a2c9592104656642f5e78a3",
        ),
    }  # fmt: skip
    unpacked = ("imagenette/imagenette2-320/train",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        source = _torchvision_seg.opened("imagenette", "Imagenette", "digits or fonts", split="train", size="320px")
        files = [(Path(path), int(label)) for path, label in source._samples]
        return _photographs.build("imagenette", files, CLASSES, PUBLISHED, size, self.progress)
