"""``folder:PATH``: a user's own images, one sub-folder a class.

Everything is read and checked before anything is used: a file that cannot be read is named, and the
run refuses unless the user chose to go on without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.contracts import DataSource, param
from bench.datasets import contents, decoded, decoding, listing
from bench.datasets.base import Dataset
from bench.datasets.decoded import Progress
from bench.datasets.listing import GROUPINGS, NAMED, Entry, Listing
from bench.datasets.together import Together, together
from bench.errors import UserError

IMBALANCE = 1.2
"""A largest class of more than this many times 1 / K of the images is said to be one."""


def build(
    name: str,
    root: Path,
    size: int,
    skip_bad: bool,
    background: str = "white",
    grouping: str = "none",
    progress: Progress = DataSource.progress,
) -> Dataset:
    """The images of each sub-folder of ``root``: `listing.read` says which, `decoding.read` how.

    Images that are equal once decoded, and those of one sub-folder where ``grouping`` is ``folder``, are a group of the
    data set: its splits keep them on one side.

    Args:
        name: the task string that becomes the data set's name.
        root: an existing folder.
        size: side of the images, pixels.
        skip_bad: go on without unreadable files; ``notes["skipped"]`` names them.
        background: what transparent images show: a name of `decoding.BACKGROUNDS`.
        grouping: a value of `listing.GROUPINGS`.
        progress: called as images are decoded.

    Raises:
        UserError: fewer than two classes, a class with fewer than `listing.FEWEST` images, unreadable files without
            ``skip_bad``, or a folder that may not be read.
    """
    found = listing.read(root, grouping, decoding.readable())
    listing.check_counts(root, found.counts(), grouping)
    images = decoded.load(found.images, contents.of_images(root, found), size, background, progress)
    bad = [(found.images[at].name, why) for at, why in images.bad]
    if bad and not skip_bad:
        raise UserError(_named(root, bad), "Repair or remove them, or add --skip-bad to go on without them.")
    entries = [found.images[at] for at in images.taken]
    labels = [entry.label for entry in entries]
    counts = np.bincount(labels, minlength=len(found.classes)) if labels else np.zeros(len(found.classes), int)
    listing.check_counts(root, dict(zip(found.classes, counts.tolist(), strict=True)), grouping)
    joined = together([entry.group for entry in entries], images.marks, labels)
    grouped = len(set(joined.groups)) < len(entries)
    return Dataset(
        name,
        images.pixels,
        torch.tensor(labels, dtype=torch.int64),
        tuple(found.classes),
        notes=_notes(found, entries, counts.tolist(), bad, joined),
        groups=torch.tensor(joined.groups, dtype=torch.int64) if grouped else None,
    )


def _notes(
    found: Listing, entries: Sequence[Entry], counts: Sequence[int], bad: Sequence[tuple[str, str]], joined: Together
) -> dict[str, Any]:
    """What the data set has to tell of itself; ``remarks`` are the sentences that a user should read."""
    notes: dict[str, Any] = {"skipped": [path for path, _ in bad], "ignored": found.ignored}
    remarks = []
    if bad:
        remarks.append(f"{_count(len(bad), 'image')} left out that cannot be read: {_list(bad)}.")
    if found.unread:
        notes["unread"] = [path for path, _ in found.unread]
        remarks.append(f"{_count(len(found.unread), 'picture')} not read: {_list(found.unread)}.")
    if joined.copies:
        notes["copies"] = joined.copies
        remarks.append(
            f"{_count(joined.copies, 'image')} equal to another; equal images are kept on one side of every split."
        )
    if joined.contradictions:
        names = [entries[at].name for at in joined.contradictions]
        notes["contradictions"] = names
        remarks.append(f"Equal images lie in more than one class: {_list([(name, '') for name in names])}.")
    most, k = max(counts), len(counts)
    share = most / sum(counts)
    if share > IMBALANCE / k:
        largest = found.classes[list(counts).index(most)]
        remarks.append(
            f"Classes are uneven: '{largest}' has {100 * share:.1f} % of the images, where even ones had "
            f"{100 / k:.1f} %. The floor is the former."
        )
    return notes | ({"remarks": remarks} if remarks else {})


def _count(n: int, what: str) -> str:
    return f"1 {what} is" if n == 1 else f"{n:,} {what}s are"


def _list(files: Sequence[tuple[str, str]]) -> str:
    text = ", ".join(f"{path} ({why})" if why else path for path, why in files[:NAMED])
    return text + (f" and {len(files) - NAMED} more" if len(files) > NAMED else "")


def _named(root: Path, bad: Sequence[tuple[str, str]]) -> str:
    files = "1 image file" if len(bad) == 1 else f"{len(bad)} image files"
    return f"{files} in '{root}' cannot be read: {_list(bad)}."


class Folder(DataSource):
    """Your own images: one sub-folder a class, at least 10 images in each."""

    title = "folder"
    paper = "yours"
    prefix = True

    background: str = param("white", "what lies behind transparent images", choices=("white", "black"))
    groups: str = param(
        "none",
        "`folder`: images of one sub-folder of a class (a patient, a scene) are read too and never split",
        choices=GROUPINGS,
    )

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build("folder", self.path, size, skip_bad, self.background, self.groups, self.progress)
