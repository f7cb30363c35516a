"""``oxford-pet``, fetched on first use; it shares the folder of ``oxford-pet-seg`` where that is there."""

from __future__ import annotations

from pathlib import Path

from bench.contracts import DataSource
from bench.datasets import _photographs, _torchvision_seg
from bench.datasets.base import Dataset
from bench.datasets.oxford_pet_seg import OxfordPetSeg
from bench.paths import data_home

CLASSES = (
    "Abyssinian", "American Bulldog", "American Pit Bull Terrier", "Basset Hound", "Beagle", "Bengal", "Birman",
    "Bombay", "Boxer", "British Shorthair", "Chihuahua", "Egyptian Mau", "English Cocker Spaniel", "English Setter",
    "German Shorthaired", "Great Pyrenees", "Havanese", "Japanese Chin", "Keeshond", "Leonberger", "Maine Coon",
    "Miniature Pinscher", "Newfoundland", "Persian", "Pomeranian", "Pug", "Ragdoll", "Russian Blue", "Saint Bernard",
    "Samoyed", "Scottish Terrier", "Shiba Inu", "Siamese", "Sphynx", "Staffordshire Bull Terrier", "Wheaten Terrier",
    "Yorkshire Terrier",
)  # fmt: skip
"""The breeds in the order of their labels."""
PUBLISHED = 7349
"""Photographs of both published splits: 3680 in ``trainval`` and 3669 in ``test``."""


class OxfordPet(DataSource):
    """7349 photographs of cats and dogs (Oxford-IIIT Pet), fetched on first use, 37 classes."""

    title = "Oxford-IIIT Pet"
    paper = "Parkhi et al., Cats and Dogs, CVPR 2012"
    licence = "CC BY-SA 4.0"
    archives = OxfordPetSeg.archives
    unpacked = ("oxford-pet/oxford-iiit-pet/annotations", "oxford-pet-seg/oxford-iiit-pet/annotations")

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        home = "oxford-pet-seg" if (data_home() / "oxford-pet-seg").is_dir() else "oxford-pet"
        files: list[tuple[Path, int]] = []
        for split in ("trainval", "test"):
            source = _torchvision_seg.opened(home, "OxfordIIITPet", "digits or fonts", split=split)
            files += zip(source._images, source._labels, strict=True)
        return _photographs.build("oxford-pet", files, CLASSES, PUBLISHED, size, self.progress)
