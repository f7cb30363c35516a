"""The miniature pack's CNN."""

from __future__ import annotations

from collections.abc import Sequence

from bench.architectures import _pack
from bench.contracts import Architecture, Classifier, Spec


class CNN(Architecture):
    """A small residual network: four stages of 32 to 128 channels."""

    title = "miniature CNN"
    paper = "timm"
    steps = 300
    rate = 3e-3
    assets = ("pack:public",)

    def build(self, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
        return _pack.build("cnn", task, extra, hidden, public)
