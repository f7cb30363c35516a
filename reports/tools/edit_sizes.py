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
from statistics import fmean
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
CODED = "autoencoder alone"
"""Group and concept of the line without a prompt: what the editor loses where it edits nothing."""


@dataclass(frozen=True)
class EditSize:
    """One prompt on one data set: PSNR against the raw images in dB, and CLIP cosines.

    Args:
        task: the data set.
        group: of `GROUPS`.
        concept: what the prompt names.
        whole, inside, outside: see `bench.editors.change.Change`.
        images, classes: see `bench.editors.relatedness.Relatedness`; None without a prompt.
    """

    task: str
    group: str
    concept: str
    whole: float
    inside: float | None
    outside: float | None
    images: float | None
    classes: float | None


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

    def line(group: str, concept: str, after: Tensor, *cosines: Tensor | None) -> EditSize:
        size = change(images, after, masks)
        parts = (None if x is None else round(x, 2) for x in (size.inside, size.outside))
        near = (None if x is None else round(float(x), 4) for x in cosines)
        return EditSize(task, group, concept, round(size.whole, 2), *parts, *near)

    found = [line(CODED, CODED, unedited(images), None, None)]
    for i, concept in enumerate(concepts):
        progress(concept)
        after = edited(images, concept)
        found.append(line(group_of(concept), concept, after, related.images[i], related.classes[i]))
    return found


def unedited(images: Tensor) -> Tensor:
    """``images`` (N, 3, H, W) after the usual editor's autoencoder alone, blended as the edit key blends."""
    from bench.editors import engine
    from bench.keys.edit import Edit

    settings = Edit().settings()
    return engine.current(settings.editor).unedited(images, settings)


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


def by_group(sizes: Sequence[EditSize]) -> list[tuple[str, str, int, float, float | None, float | None]]:
    """Task, group, count, and the mean PSNR in dB whole, inside and outside, over the prompts of a group."""
    out = []
    for task, group in dict.fromkeys((size.task, size.group) for size in sizes):
        own = [size for size in sizes if (size.task, size.group) == (task, group)]
        inside, outside = mean_of([size.inside for size in own]), mean_of([size.outside for size in own])
        out.append((task, group, len(own), fmean(size.whole for size in own), inside, outside))
    return out


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
