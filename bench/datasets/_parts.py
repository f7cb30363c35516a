"""A part of a published set of domains as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench import registry
from bench.datasets import contents, decoded, parts
from bench.datasets.base import Dataset
from bench.datasets.decoded import Progress
from bench.errors import UserError


def build(
    name: str, part: str, classes: tuple[str, ...], size: int, settings: Mapping[str, Any], progress: Progress
) -> Dataset:
    """The images of ``NAME:PART``, the centre of each as a square of ``size`` × ``size`` pixels.

    Args:
        name: of the task's plugin.
        part: one of its parts.
        classes: names of the K classes; the published folders have them in this order.
        size: side of the images, pixels.
        settings: values of the plugin's parameters.
        progress: called as images are decoded.

    Raises:
        UserError: it is not here, is not whole, or an image cannot be read.
    """
    root, found = parts.read(registry.current().find("task", name), part, settings)
    if tuple(found.classes) != classes:
        odd = sorted({*found.classes} ^ {*classes}) or ["their order"]
        raise UserError(
            f"{root} has other classes than {name} was published with: {', '.join(odd[:5])}.",
            "Unpack the published archive again; the names of its folders are the classes.",
        )
    images = decoded.load(found.images, contents.of_images(root, found), size, "white", progress)
    if images.bad:
        at, why = images.bad[0]
        raise UserError(
            f"{len(images.bad)} images of {root} cannot be read, such as {found.images[at].name} ({why}).",
            "Unpack the published archive again.",
        )
    labels = torch.tensor([entry.label for entry in found.images], dtype=torch.int64)
    return Dataset(f"{name}:{part}", images.pixels, labels, classes)
