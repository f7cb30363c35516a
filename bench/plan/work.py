"""What a plan computes and keeps, from its parameters alone: multiply-adds, hours of a GPU, bytes on disk.

`bench.plan.durations` says how long stages take on a machine that has run like ones. Here nothing was run: a training
step costs three forward passes of its images, and a GPU is taken to sustain `SUSTAINED`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench import datasets, registry
from bench.forward_cost import multiply_adds, parameters
from bench.plan.graph import Stage
from bench.plan.length import images_seen, victim_images
from bench.records import Cell

SUSTAINED = 10e12
"""Floating-point operations a second that a GPU is taken to sustain, two for a multiply-add: an assumption, about half
of the 19.5e12 in float32 that NVIDIA's data sheet of the A100 names as its peak. It was measured on no GPU."""
PASSES = 3
"""Forward passes that a training step costs for each of its images: one forward, about two backward."""
EDIT = 1.798e12
"""Multiply-adds of one edit at 256 pixels, 5 steps and guidance, through the full-size InstructPix2Pix: what
`tests/benchmarks/full_editor.py` counts on the architecture."""
EDITED_AGAIN = 12
"""Edits of each test image under the conditions of an edit key: eleven others, one of them of twice the steps."""
ANSWERS = 4
"""Passes of each test image while a lock and its victim are judged on both sides."""
TEST = 0.22
"""Share of the images that are judged."""


@dataclass(frozen=True)
class Work:
    """What stages compute and keep.

    Args:
        trained, answered, edited: multiply-adds.
        disk: bytes of weights and of edited images in the store.
    """

    trained: float = 0.0
    answered: float = 0.0
    edited: float = 0.0
    disk: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def hours(self) -> float:
        """Hours of a GPU that sustains `SUSTAINED`."""
        return 2 * (self.trained + self.answered + self.edited) / SUSTAINED / 3600


def of_stages(stages: Sequence[Stage], images: Mapping[str, int]) -> Work:
    """The work of ``stages``.

    Args:
        stages: of a graph.
        images: how many images each data set has; what is not named counts as none.
    """
    return sum((_of(stage.kind, stage.cell, images) for stage in stages), Work())


def _of(kind: str, cell: Cell, images: Mapping[str, int]) -> Work:
    each, weights = multiply_adds(cell.model, cell.size), 4.0 * parameters(cell.model, cell.size)
    sides = [images.get(side, 0) for side in datasets.pair(cell.scenario) or (cell.scenario,)]
    test, edits = TEST * sum(sides), _edits(cell)
    edited = Work(edited=edits, disk=3.0 * cell.size**2 if edits else 0.0)
    if kind == "victim":
        return Work(PASSES * each * victim_images(cell), disk=weights)
    if kind == "protected":
        if cell.lock.role == "control":
            return Work(disk=weights)
        return Work(PASSES * each * 2 * images_seen("lock", cell.lock), disk=weights) + _times(edited, sides[0])
    if kind == "unlocked" and cell.attack.purpose != "no-attack":
        return Work(PASSES * each * images_seen("attack", cell.attack), disk=weights)
    if kind == "judged":
        return Work(answered=ANSWERS * test * each)
    if kind == "conditions":
        return Work(answered=(EDITED_AGAIN if edits else 1) * test * each) + _times(edited, EDITED_AGAIN * test)
    return Work(answered=test * each) if kind == "scored" else Work()


def _times(work: Work, n: float) -> Work:
    return replace(work, edited=n * work.edited, disk=n * work.disk)


def _edits(cell: Cell) -> float:
    """Multiply-adds of one edit under the key of ``cell``; 0 for keys without an editor, and for small editors."""
    key = registry.current().get("key", cell.key.name)
    small = registry.current().get("editor", cell.editor) is not None
    return EDIT if key is not None and key.costly and not small else 0.0
