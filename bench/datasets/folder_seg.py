"""``folder-seg:PATH``: a user's own images and masks, side by side.

Everything is read and checked before anything is used, as in ``folder``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from bench.contracts import IGNORED, DataSource, param
from bench.datasets import contents, decoded, decoding, masks, pairs
from bench.datasets.base import Dataset
from bench.datasets.decoded import Progress
from bench.datasets.pairs import Pairs, listed
from bench.datasets.together import together
from bench.errors import UserError
from bench.pixels import main_class

RARE = 10
"""A class on fewer images than this is named to the user: a split may lack it."""


def build(
    name: str,
    root: Path,
    size: int,
    skip_bad: bool,
    background: str = "white",
    ignore: int = IGNORED,
    progress: Progress = DataSource.progress,
) -> Dataset:
    """The images of ``root/images`` with the masks of ``root/masks``: `pairs.read` says which, `masks.read` how.

    Args:
        name: the task string that becomes the data set's name.
        root: an existing folder.
        size: side of the images, pixels.
        skip_bad: go on without pairs that cannot be used; ``notes["skipped"]`` names them.
        background: what transparent images show: a name of `decoding.BACKGROUNDS`.
        ignore: mask value of pixels that are left out.
        progress: called as images are decoded.

    Raises:
        UserError: as `pairs.read`; files that cannot be used without ``skip_bad``; or mask values without a class.
    """
    found = pairs.read(root, decoding.readable())
    images = decoded.load(found.images, contents.of_all(root), size, background, progress)
    values, wrong = _masks(found, size, ignore)
    bad = {at: (found.images[at].name, why) for at, why in images.bad}
    bad |= {at: (f"masks/{found.masks[at].name}", why) for at, why in wrong.items() if at not in bad}
    if bad and not skip_bad:
        files = "1 file" if len(bad) == 1 else f"{len(bad)} files"
        raise UserError(
            f"{files} in '{root}' cannot be used: {listed([f'{path} ({why})' for path, why in bad.values()])}.",
            "Repair or remove them, or add --skip-bad to go on without their pairs.",
        )
    row = {at: i for i, at in enumerate(images.taken)}
    taken = [at for at in images.taken if at not in bad]
    if len(taken) < pairs.FEWEST:
        raise UserError(f"'{root}' has {len(taken)} usable images.", f"Give at least {pairs.FEWEST}.")
    pixels = images.pixels if len(taken) == len(row) else images.pixels[[row[at] for at in taken]]
    marks = [images.marks[row[at]] for at in taken]
    values = values[taken]
    classes = found.names or _unnamed(root, values)
    labels = masks.strata(main_class(torch.from_numpy(values), len(classes)).numpy(), len(classes))
    joined = together([""] * len(taken), marks, labels.tolist())
    remarks = _remarks(list(bad.values()), values, classes, joined.copies)
    return Dataset(
        name,
        pixels,
        torch.from_numpy(labels),
        classes,
        torch.from_numpy(values),
        notes={"skipped": [path for path, _ in bad.values()]} | ({"remarks": remarks} if remarks else {}),
        groups=torch.tensor(joined.groups, dtype=torch.int64) if joined.copies else None,
        kind="segmentation",
    )


def _masks(found: Pairs, size: int, ignore: int) -> tuple[np.ndarray, dict[int, str]]:
    """The masks, (N, size, size) uint8, and why one cannot be used, by its place."""
    out = np.zeros((len(found.masks), size, size), np.uint8)

    def work(at: int) -> str:
        path = found.masks[at]
        try:
            out[at] = masks.read(path, found.images[at].path, size, ignore)
        except MemoryError:
            raise
        # Pillow's readers raise nearly anything on broken files; whatever it is, the file is what is wrong.
        except Exception as error:
            return decoding.reason(path, error)
        if found.names is None:
            return ""
        outside = sorted({int(v) for v in np.unique(out[at])} - {*range(len(found.names)), IGNORED})
        values = "value" if len(outside) == 1 else "values"
        return f"{values} {', '.join(map(str, outside))} outside the {len(found.names)} classes" if outside else ""

    with decoding.quiet(), ThreadPoolExecutor(4) as pool:
        return out, {at: why for at, why in enumerate(pool.map(work, range(len(found.masks)))) if why}


def _unnamed(root: Path, masks: np.ndarray) -> tuple[str, ...]:
    """Names of the classes where a folder gives none: one for each value up to the largest.

    Raises:
        UserError: fewer than two values, or one below the largest that no mask has.
    """
    values = {int(v) for v in np.unique(masks)} - {IGNORED}
    remedy = "Number the classes 0, 1, 2, … in the masks, or name them all in classes.txt, one a line."
    if max(values, default=0) < 1:
        raise UserError(f"The masks in '{root}' have one class, or none.", remedy)
    gaps = [str(v) for v in range(1, max(values)) if v not in values]
    if gaps:
        raise UserError(f"The masks in '{root}' go up to {max(values)} but lack {listed(gaps)}.", remedy)
    return ("background", *(f"class {value}" for value in range(1, max(values) + 1)))


def _remarks(bad: Sequence[tuple[str, str]], masks: np.ndarray, classes: Sequence[str], copies: int) -> list[str]:
    """Sentences about the data that a user should read."""
    out = []
    if bad:
        out.append(f"Left out with their partners: {listed([f'{path} ({why})' for path, why in bad])}.")
    shown = {name: int((masks == value).any((1, 2)).sum()) for value, name in enumerate(classes)}
    rare = [f"{name} ({n})" for name, n in shown.items() if n < RARE]
    if rare:
        out.append(f"Classes on fewer than {RARE} images, so that a split may lack them: {listed(rare)}.")
    if copies:
        images = "1 image is" if copies == 1 else f"{copies:,} images are"
        out.append(f"{images} equal to another; equal images are kept on one side of every split.")
    return out


class FolderSeg(DataSource):
    """Your own images with masks: images/ and masks/ side by side, at least 20 pairs."""

    title = "folder, segmentation"
    paper = "yours"
    prefix = True
    tasks = ("segmentation",)

    background: str = param("white", "what lies behind transparent images", choices=("white", "black"))
    ignore: int = param(255, "mask value of pixels that are left out; -1: none", ge=-1, le=255)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build("folder-seg", self.path, size, skip_bad, self.background, self.ignore, self.progress)
