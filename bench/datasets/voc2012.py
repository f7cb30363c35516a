"""``voc2012``, fetched on first use."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.contracts import DataSource
from bench.datasets import _torchvision_seg
from bench.datasets.base import Dataset

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip


@lru_cache(maxsize=2)
def build(size: int) -> Dataset:
    """The training and validation images with masks; the borders of objects, 255 in the files, are left out."""
    source = _torchvision_seg.opened("voc2012", "VOCSegmentation", year="2012", image_set="trainval")
    pairs = ((image, np.asarray(mask, np.uint8)) for image, mask in source)
    return _torchvision_seg.build("voc2012", pairs, CLASSES, size)


class VOC2012(DataSource):
    """2913 photographs with object masks (PASCAL VOC 2012), fetched on first use, 21 classes."""

    title = "VOC 2012"
    paper = "Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective, IJCV 2015"
    tasks = ("segmentation",)
    licence = "the terms of Flickr, for research"
    archives = {
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar": (
            1_999_639_040, "md5:6cd6e144f989b92b3379bac3b3de84fd",
        ),
    }  # fmt: skip
    unpacked = ("voc2012/VOCdevkit/VOC2012",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size)
