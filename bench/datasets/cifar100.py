"""``cifar100``, fetched on first use."""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _torchvision
from bench.datasets.base import Dataset

CLASSES = (
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid",
    "otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf",
    "woman", "worm",
)  # fmt: skip
"""The fine classes in the order of their labels."""


class CIFAR100(DataSource):
    """10000 small photographs (CIFAR-100), fetched on first use, 100 classes."""

    title = "CIFAR100"
    paper = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    licence = "none stated"
    archives = {
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz": (
            169_001_437, "md5:eb9058c3a382ffc7106e4002c42a8d85",
        ),
    }  # fmt: skip
    unpacked = ("cifar100/cifar-100-python",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _torchvision.build("cifar100", "CIFAR100", (("train", True),), CLASSES, size)
