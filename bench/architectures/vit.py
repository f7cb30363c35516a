"""The miniature pack's ViT."""

from __future__ import annotations

from collections.abc import Sequence

from bench.architectures import _pack
from bench.contracts import Architecture, Classifier, Spec


class ViT(Architecture):
    """A small vision transformer: 4 blocks of width 128 on 8-pixel patches of 32-pixel images."""

    title = "miniature ViT"
    paper = "timm"
    steps = 500
    rate = 2e-3
    assets = ("pack:public",)

    def build(self, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
        return _pack.build("vit", task, extra, hidden, public)
