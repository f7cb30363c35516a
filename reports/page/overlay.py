"""Masks over images: every class but the first has a colour, half over the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.page.palette import COLOURS

OPACITY = 0.55
IGNORED = 255
"""Pixels that are not judged; they turn grey."""
_GREY = (128, 128, 128)


def overlay(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """``image`` (3, H, W) uint8 with the classes of ``mask`` (H, W) in colour; class 0 stays as it is."""
    table = np.array([_rgb(class_) for class_ in range(IGNORED)] + [_GREY], dtype=float)
    tint = table[mask].transpose(2, 0, 1)
    share = np.where(mask == 0, 0.0, OPACITY)
    return np.rint((1 - share) * image + share * tint).astype(np.uint8)


def _rgb(class_: int) -> tuple[int, int, int]:
    """The colour of a class; later ones repeat the palette in lighter tones."""
    text, turn = COLOURS[(class_ - 1) % len(COLOURS)].lstrip("#"), (class_ - 1) // len(COLOURS)
    lighter = min(0.6, 0.25 * turn)
    return tuple(round(int(text[i : i + 2], 16) * (1 - lighter) + 255 * lighter) for i in (0, 2, 4))  # type: ignore[return-value]


def image_iou(predicted: NDArray[Any], true: NDArray[Any]) -> float | None:
    """The mean intersection over union of one mask (H, W), percent; None where no pixel is judged."""
    judged = true != IGNORED
    scores = []
    for class_ in np.union1d(predicted[judged], true[judged]):
        a, b = (predicted == class_) & judged, (true == class_) & judged
        scores.append(float((a & b).sum() / (a | b).sum()))
    return 100 * float(np.mean(scores)) if scores else None
