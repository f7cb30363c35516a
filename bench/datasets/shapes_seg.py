"""``shapes-seg``: the images of ``shapes``, each pixel to be named: background or one of ten shapes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from bench.contracts import DataSource
from bench.datasets import shapes
from bench.datasets.base import Dataset

CLASSES = ("background", *shapes.CLASSES)


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int) -> Dataset:
    """2400 images with masks; the splits are stratified by the shape of each."""
    base = shapes.build(size, generator_seed)
    return replace(base, name="shapes-seg", labels=base.labels + 1, classes=CLASSES, kind="segmentation")


class ShapesSeg(DataSource):
    """2400 drawn images of one geometric shape on plain and textured backgrounds, masks judged, 11 classes."""

    title = "shapes, segmentation"
    paper = "ours"
    tasks = ("segmentation",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, generator_seed)
