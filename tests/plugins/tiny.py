"""A residual network of some 10,000 weights, with batch norms: what conformance trains in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Architecture, Classifier, Spec
from bench.models import TimmClassifier, timm_spec


class Tiny(Architecture):
    """A residual network with eight channels; its public weights are random."""

    title = "tiny"
    paper = "timm"
    steps = 60
    rate = 1e-2

    def build(self, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
        network = {"channels": [8, 8, 8, 8], "stem_width": 8, "output_stride": 8}
        half = [0.5] * 3
        return TimmClassifier(
            timm_spec("resnet10t", task, extra, hidden, kwargs=network, size=task.size, mean=half, std=half)
        )
