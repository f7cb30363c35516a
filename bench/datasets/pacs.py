"""``pacs:PART``: photographs, art, cartoons and sketches of 7 classes, as folders that the user unpacked.

The authors' lists split each domain into ``train`` and ``crossval``; ``-p task.lists=`` takes one of them.
"""

from __future__ import annotations

from bench.contracts import DataSource, param
from bench.datasets import _parts, alignment
from bench.datasets.base import Dataset


class PACS(DataSource):
    """Photographs, art, cartoons and sketches (PACS), put here by you, 7 classes."""

    title = "PACS"
    paper = "Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017"
    licence = "none stated; for research"
    archives = {"https://domaingeneralization.github.io/#data": (None, "")}
    parts = {
        "photo": (1670, ("pacs/photo", "pacs/PACS/photo", "pacs/kfold/photo")),
        "art_painting": (2048, ("pacs/art_painting", "pacs/PACS/art_painting", "pacs/kfold/art_painting")),
        "cartoon": (2344, ("pacs/cartoon", "pacs/PACS/cartoon", "pacs/kfold/cartoon")),
        "sketch": (3929, ("pacs/sketch", "pacs/PACS/sketch", "pacs/kfold/sketch")),
    }
    remedy = "Fetch its folders from its page, and put them into the folder pacs of the data."

    lists: str = param("all", "which images: all, or those of a published list", choices=("all", "train", "crossval"))

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _parts.build("pacs", self.part, alignment.PACS, size, {"lists": self.lists}, self.progress)
