"""``oxford-pet-seg``, fetched on first use."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bench.contracts import IGNORED, DataSource
from bench.datasets import _torchvision_seg
from bench.datasets.base import Dataset

CLASSES = ("background", "cat", "dog")
_PET, _GROUND = 1, 2  # of a trimap; 3 is the border, which its authors did not classify


@lru_cache(maxsize=2)
def build(size: int) -> Dataset:
    """The training and validation images; the pet's pixels have the class of its species, its border is left out."""
    source = _torchvision_seg.opened(
        "oxford-pet-seg", "OxfordIIITPet", split="trainval", target_types=("segmentation", "binary-category")
    )
    pairs = ((image, classes_of(np.asarray(trimap), species + 1)) for image, (trimap, species) in source)
    return _torchvision_seg.build("oxford-pet-seg", pairs, CLASSES, size)


def classes_of(trimap: np.ndarray, species: int) -> np.ndarray:
    """A trimap (H, W) as class numbers, uint8: ``species`` on the pet, 0 on the ground, left out on its border."""
    return np.select([trimap == _PET, trimap == _GROUND], [species, 0], IGNORED).astype(np.uint8)


class OxfordPetSeg(DataSource):
    """3680 photographs of cats and dogs with trimaps (Oxford-IIIT Pet), fetched on first use, 3 classes."""

    title = "Oxford-IIIT Pet, segmentation"
    paper = "Parkhi et al., Cats and Dogs, CVPR 2012"
    tasks = ("segmentation",)
    licence = "CC BY-SA 4.0"
    archives = {
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz": (
            791_918_971, "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
        ),
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz": (
            19_173_078, "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
        ),
    }  # fmt: skip
    unpacked = ("oxford-pet-seg/oxford-iiit-pet/annotations",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size)
