"""How large the edit of each prompt is, where it falls, and how related its concept is. `bench edit-sizes` prints it.

Every style, photo adjustment and object of the vocabulary, in the form of a key's prompt, over the first images of a
data set, under the edit key's own settings.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

from bench.editors import vocabulary
from reports.tools import measured

if TYPE_CHECKING:
    from torch import Tensor

FILE = "edit_sizes.csv"
"""What the project keeps, in `reports.tools.measured.FOLDER`; docs/results/prompts.md names the command."""
GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "style": vocabulary.STYLES, "photo adjustment": vocabulary.PHOTO, "object": vocabulary.OBJECTS,
}  # fmt: skip
"""Concepts by group."""


@dataclass(frozen=True)
class EditSize:
    """One prompt on one data set: PSNR against the raw images in dB, and CLIP cosines.

    Args:
        task: the data set.
        group: of `GROUPS`.
        concept: what the prompt names.
        whole, inside, outside: see `bench.editors.change.Change`.
        images, classes: see `bench.editors.relatedness.Relatedness`.
    """

    task: str
    group: str
    concept: str
    whole: float
    inside: float | None
    outside: float | None
    images: float
    classes: float


def measure(task: str, n: int, progress: Callable[[str], None] = lambda _: None) -> list[EditSize]:
    """Every concept over the first ``n`` images of ``task`` at 32 pixels.

    Args:
        progress: called with each concept before its edits.
    """
    from bench.editors import relatedness
    from bench.editors.change import change

    images, masks, classes = data(task, n)
    concepts = list(vocabulary.CONCEPTS)
    related = relatedness.measure(concepts, images, classes)
    found = []
    for i, concept in enumerate(concepts):
        progress(concept)
        size = change(images, edited(images, concept), masks)
        inside, outside = (None if x is None else round(x, 2) for x in (size.inside, size.outside))
        cosines = round(float(related.images[i]), 4), round(float(related.classes[i]), 4)
        found.append(EditSize(task, group_of(concept), concept, round(size.whole, 2), inside, outside, *cosines))
    return found


def edited(images: Tensor, concept: str) -> Tensor:
    """``images`` (N, 3, H, W) after the edit key of ``concept`` under its usual settings."""
    from bench.keys.edit import Edit, EditKey

    return EditKey(vocabulary.KEY_TEMPLATE.format(concept), Edit().settings())(images)


def group_of(concept: str) -> str:
    """The group of a concept of the vocabulary."""
    return next(group for group, names in GROUPS.items() if concept in names)


def data(task: str, n: int) -> tuple[Tensor, Tensor | None, Sequence[str]]:
    """The first ``n`` images as float32 in [0, 1], their masks if there are any, and names of classes."""
    from bench import datasets

    found = datasets.load(task)
    return found.images[:n].float() / 255, None if found.masks is None else found.masks[:n], found.classes


def text(sizes: Iterable[EditSize]) -> str:
    """The sizes as CSV; what is not known is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(EditSize)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(size) for size in sizes)
    return out.getvalue()


def read(content: str) -> list[EditSize]:
    """What `text` wrote."""
    found = []
    for line in csv.DictReader(io.StringIO(content)):
        names = {name: line[name] for name in ("task", "group", "concept")}
        numbers = {name: float(line[name]) if line[name] else None for name in line if name not in names}
        found.append(EditSize(**names, **numbers))  # type: ignore[arg-type]
    return found


@cache
def kept() -> tuple[EditSize, ...]:
    """The sizes that the project keeps."""
    file = measured.FOLDER / FILE
    return tuple(read(file.read_text(encoding="utf-8"))) if file.is_file() else ()
