"""What each test image adds to a number, read from the evidence of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.rows.statistics import Answered


def answered(
    arrays: Mapping[str, NDArray[Any]], side: str, names: Sequence[str]
) -> tuple[NDArray[Any], dict[str, Answered]] | None:
    """The index of a side's test images, sorted, and by name what each adds; None where there is no such evidence.

    Names without evidence that fits are left out: imported evidence may hold anything.

    Args:
        arrays: evidence of one record.
        side: ``test``, ``validation`` or ``authorised``; a keyed scenario judges one set of images, ``test``, on both
            sides.
        names: such as ``RP`` and ``oracle``.
    """
    other = "validation" if side == "validation" else "test"
    index = arrays.get(f"{side}_index", arrays.get(f"{other}_index"))
    labels = arrays.get(f"{side}_labels", arrays.get(f"{other}_labels"))
    if index is None and labels is not None:
        index = np.arange(len(labels))
    if index is None or index.ndim != 1:
        return None
    order = np.argsort(index, kind="stable")
    out: dict[str, Answered] = {}
    for name in names:
        predicted, confusion = arrays.get(f"pred/{name}"), arrays.get(f"confusion/{name}")
        if confusion is not None and confusion.ndim == 3 and len(confusion) == len(index):
            out[name] = confusion[order]
        elif predicted is not None and labels is not None and labels.shape == index.shape == predicted.shape:
            out[name] = (predicted == labels)[order]
    return index[order], out
