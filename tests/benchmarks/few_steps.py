"""The miniature CNN trained for a few steps: a model plugin for the dry run of `gpu_cells.py` on a CPU."""

from __future__ import annotations

from bench.architectures.cnn import CNN


class FewSteps(CNN):
    """A victim that has hardly learnt anything."""

    title = "CNN of a few steps"
    steps = 3
