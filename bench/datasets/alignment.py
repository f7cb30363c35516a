"""How the classes of two data sets are matched: by name, and where names do not do, by the literature's maps."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.datasets.base import Dataset

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes in the order of its labels."""
STL_TO_CIFAR = (0, 2, 1, 3, 4, 5, 7, 6, 8, 9)
"""STL-10's classes (airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck) in CIFAR-10's order.

The family's shared protocol counts them so: car is automobile, and monkey falls on frog. The last two are not the same
thing, and the docs say it.
"""
NINE = ("airplane", "automobile", "bird", "cat", "deer", "dog", "horse", "ship", "truck")
"""The classes that CIFAR-10 and STL-10 share (French et al., Self-ensembling for visual domain adaptation, ICLR 2018):
frog and monkey are left out."""
VISDA = (
    "aeroplane", "bicycle", "bus", "car", "horse", "knife", "motorcycle", "person", "plant", "skateboard", "train",
    "truck",
)  # fmt: skip
"""The 12 classes of VisDA-2017, in both of its domains."""
PACS = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
"""The 7 classes of PACS, in each of its domains."""


def restricted(data: Dataset, names: tuple[str, ...]) -> Dataset:
    """The images of the classes ``names`` of a classified set without masks and groups, in their own order.

    Args:
        data: the whole set.
        names: some of its classes, in the order that they shall have.
    """
    place = torch.full((len(data.classes),), -1)
    for new, name in enumerate(names):
        place[data.classes.index(name)] = new
    labels = place[data.labels]
    taken = labels >= 0
    return replace(data, images=data.images[taken], labels=labels[taken], classes=names)


def aligned(source: Dataset, target: Dataset) -> Dataset:
    """``target`` with its classes in the order of ``source``'s, where both have the same names; else as it is.

    Names are the same where they differ in case, hyphens or underscores alone. Sets with masks are left as they are.
    """
    ours, theirs = [_plain(name) for name in source.classes], [_plain(name) for name in target.classes]
    if source.classes == target.classes or sorted(ours) != sorted(theirs) or len(set(ours)) < len(ours):
        return target
    if target.masks is not None:
        return target
    place = torch.tensor([ours.index(name) for name in theirs])
    return replace(target, labels=place[target.labels], classes=source.classes)


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ")
