"""What an attack does with the access it has: ask the locked model, and build a predictor on it."""

from __future__ import annotations

from torch import Tensor

from bench import models
from bench.contracts import AttackerView
from bench.predictors import Direct, Queried

ANSWERS = ("labels", "logits", "weights")
"""Kinds of access under which the locked model answers."""


def ask(target: AttackerView, images: Tensor) -> Tensor:
    """(N, K + extra) logits of the locked model, or ones at the label: by its weights, else by metered queries."""
    if target.threat.access == "weights":
        return models.outputs(target.classifier, images)
    return target.query(images)


def handle(target: AttackerView) -> Direct | Queried:
    """The locked model as it stands, as a predictor: its weights, else a handle on its interface."""
    if target.threat.access == "weights":
        return Direct(target.classifier)
    return Queried(target.spec.k)
