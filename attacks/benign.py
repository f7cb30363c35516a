"""Benign changes: half precision, JPEG, another size. What a user does without thinking of a lock."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from attacks.kit.access import ANSWERS, handle
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class Benign(Attack):
    """A change that a rightful user might make: float16, JPEG or another size.

    As an attack it shows whether a lock opens by accident. `authorised_after` shows whether the same change shuts out
    the rightful user.
    """

    title = "benign change"
    paper = "ours"
    selection = "none"
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False,
        "threat.wordlist": "none", "threat.known": "none",
    }  # fmt: skip

    change: str = param(
        "jpeg", "`half`: float16 weights (threat.access=weights); `jpeg`: images encoded and decoded; `resize`: images "
        "made smaller, and back to their size", choices=("half", "jpeg", "resize"),
    )  # fmt: skip
    quality: int = param(75, "JPEG quality", ge=1, le=100, where={"change": ("jpeg",)})
    factor: float = param(
        0.75, "side of the smaller image over that of the image", ge=0.1, le=1, where={"change": ("resize",)}
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",) if self.change == "half" else ANSWERS)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        if self.change == "half":
            return Direct(target.classifier.half().float())
        return AfterChange(handle(target), self.change, self.quality, self.factor)


class AfterChange(Predictor):
    """An inner predictor on images after ``change``: ``jpeg`` at ``quality``, or ``resize`` by ``factor`` and back."""

    def __init__(self, inner: Predictor, change: str, quality: int, factor: float) -> None:
        super().__init__()
        self.inner, self.change, self.quality, self.factor = inner, change, quality, factor

    def arguments(self) -> dict[str, Any]:
        return {"change": self.change, "quality": self.quality, "factor": self.factor}

    def predict(self, images: Tensor) -> Tensor:
        images = jpeg(images, self.quality) if self.change == "jpeg" else resize(images, self.factor)
        return self.inner.predict(images)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """``images`` (N, 3, H, W) in [0, 1], each encoded as JPEG of ``quality`` (chroma halved) and decoded again."""
    out = []
    for pixels in (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        out.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(out).permute(0, 3, 1, 2).to(images.device).float() / 255


def resize(images: Tensor, factor: float) -> Tensor:
    """``images`` (N, 3, H, W) in [0, 1] made smaller by ``factor`` and back, bicubic."""
    size = images.shape[-2:]
    small = [max(1, round(side * factor)) for side in size]
    down = F.interpolate(images, small, mode="bicubic", antialias=True)
    return F.interpolate(down, list(size), mode="bicubic").clamp(0, 1)
