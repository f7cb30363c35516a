"""``visda:PART``: rendered training images and real validation images of 12 classes, as folders that the user unpacked.

These are the two domains of the challenge's classification track. Of each at most ``count`` images are taken.
"""

from __future__ import annotations

from bench.contracts import DataSource, param
from bench.datasets import _parts, alignment
from bench.datasets.base import Dataset


class VisDA(DataSource):
    """10000 rendered (`train`) or real (`validation`) images of things (VisDA-2017), put here by you, 12 classes."""

    title = "VisDA-2017"
    paper = "Peng et al., VisDA: The Visual Domain Adaptation Challenge, 2017, arXiv 1710.06924"
    licence = "research; real images: MS COCO's terms"
    archives = {
        "http://csr.bu.edu/ftp/visda17/clf/train.tar": (7_698_031_104, ""),
        "http://csr.bu.edu/ftp/visda17/clf/validation.tar": (None, ""),
    }
    parts = {
        "train": (152_397, ("visda/train", "visda/visda-2017/train")),
        "validation": (55_388, ("visda/validation", "visda/visda-2017/validation")),
    }
    remedy = "Fetch train.tar and validation.tar, and unpack them into the folder visda of the data."

    count: int = param(10_000, "images taken, the first of each class in equal number", ge=120, le=152_397)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _parts.build("visda", self.part, alignment.VISDA, size, {"count": self.count}, self.progress)
