"""Images that must stay on one side of a split: of one sub-folder, or equal to one another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Together:
    """What belongs together among N images.

    Args:
        groups: (N) numbers, equal where images belong together.
        copies: how many images equal an earlier one.
        contradictions: places of images of which an equal one has another label: the first of each kind.
    """

    groups: list[int]
    copies: int
    contradictions: list[int]


def together(folders: Sequence[str], marks: Sequence[str], labels: Sequence[int]) -> Together:
    """Groups of images: those of one sub-folder name, in whatever class, and those that are equal, joined.

    Args:
        folders: the sub-folder of each image; empty where it stands alone.
        marks: a digest of each image.
        labels: the class of each image.
    """
    parent = list(range(len(marks)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[Hashable, int] = {}
    copies, contradictory = 0, dict[str, int]()
    for at, (folder, mark) in enumerate(zip(folders, marks, strict=True)):
        for name in [("folder", folder)] if folder else []:
            parent[root(at)] = root(first.setdefault(name, at))
        other = first.setdefault(("mark", mark), at)
        if other != at:
            copies += 1
            if labels[other] != labels[at]:
                contradictory.setdefault(mark, other)
            parent[root(at)] = root(other)
    return Together([root(at) for at in range(len(marks))], copies, list(contradictory.values()))
