"""Locked models of another shape than the victim: several exits, a detector, votes under noise."""

from __future__ import annotations

import torch

from bench.contracts import Classifier
from locks.kit.detector import Guarded
from locks.kit.exits import Routed
from locks.kit.smoothed import Smoothed

KINDS = ("exits", "detector", "votes")


def wrapped(kind: str, inner: Classifier, size: int) -> Classifier:
    """``inner`` as a lock of this kind ships it, with random weights around it."""
    image = torch.rand(1, 3, size, size)
    stages, width = [f[0] for f in inner.eval().features(image)], inner.embed(image).shape[1]
    if kind == "votes":
        return Smoothed.of(inner, 0.2, 3, 1)
    if kind == "exits":
        exits = {"stages": [0], "latent": 4, "widths": [len(stages[0]), width], "temperature": 0.1}
        return Routed({"class": "locks.kit.exits:Routed", "inner": inner.spec, **exits})
    guard = {"form": "squeeze-excite", "at": 0, "middle": 1, "strength": 3.0, "features": stages[0].numel()}
    model = Guarded({"class": "locks.kit.detector:Guarded", "inner": inner.spec, "channels": len(stages[1]), **guard})
    model.v.normal_()
    return model
