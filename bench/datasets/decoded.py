"""Decoded images of a folder: in memory where they are few, else once and for all in a mapped file of the cache.

A file is named by what it was decoded from, so that a folder that moved is not decoded again. It is written under
another name and renamed when it is whole; beside it lies a note with its digest, which every opening checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
from filelock import FileLock
from torch import Tensor

from bench import mapped
from bench.datasets import decoding
from bench.datasets.listing import Entry
from bench.errors import UserError
from bench.hashing import digest
from bench.paths import data_home

SMALL = 32 << 20
"""Bytes of decoded images that are not kept: they are decoded again by every process."""
_BLOCK = 1 << 22

Progress = Callable[[int, int], None]
"""Called with images decoded and images in all."""


@dataclass(frozen=True)
class Decoded:
    """The images of a folder that could be read.

    Args:
        pixels: (N, 3, S, S) uint8; do not write to them.
        marks: a digest of each image's pixels: equal images have equal ones.
        taken: (N) places of the images among the entries.
        bad: place and reason of each file that could not be read.
    """

    pixels: Tensor
    marks: list[str]
    taken: list[int]
    bad: list[tuple[int, str]]


def load(images: Sequence[Entry], content: str, size: int, background: str, progress: Progress) -> Decoded:
    """The decoded ``images``, from the cache where they are there and whole.

    Args:
        images: the files.
        content: the digest of their names and content.
        size: side of the square images, pixels.
        background: what transparent images show.
        progress: called as the work goes on.
    """
    if len(images) * 3 * size * size <= SMALL:
        return _decode(images, mapped.empty((len(images), 3, size, size)), background, progress)
    name = digest([content, size, background, decoding.VERSION, PIL.__version__, *decoding.formats()])
    folder = data_home() / "folders" / f"{name}-{size}px"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            return _opened(folder, size) or _made(folder, images, size, background, progress)
    except OSError as error:
        raise UserError(
            f"The decoded images cannot be kept in {folder.parent}: {error.strerror or error}.",
            f"{len(images):,} images of {size} pixels take {len(images) * 3 * size * size / 1e9:.1f} GB: make room, "
            "or set LOCKBENCH_DATA to another folder.",
        ) from None


def _decode(images: Sequence[Entry], pixels: Tensor, background: str, progress: Progress) -> Decoded:
    """Decode ``images`` into ``pixels`` (N, 3, S, S): those that can be read, in their order, from the first row on."""
    size = pixels.shape[-1]
    rows = pixels.numpy()

    def work(at: int) -> tuple[str, str]:
        """The mark of image ``at``, or why there is none."""
        try:
            square = decoding.read(images[at].path, size, background)
        except MemoryError:
            raise
        # Pillow's readers raise nearly anything on broken files; whatever it is, the file is what is wrong.
        except Exception as error:
            return "", decoding.reason(images[at].path, error)
        rows[at] = square.transpose(2, 0, 1)
        return hashlib.blake2b(rows[at].tobytes(), digest_size=16).hexdigest(), ""

    marks: list[str] = []
    taken: list[int] = []
    bad: list[tuple[int, str]] = []
    with decoding.quiet(), ThreadPoolExecutor(_workers()) as pool:
        for at, (mark, why) in enumerate(pool.map(work, range(len(images)))):
            if why:
                bad.append((at, why))
            else:
                marks.append(mark)
                taken.append(at)
            progress(at + 1, len(images))
    for row, at in enumerate(taken):  # close the gaps that bad files left
        if row != at:
            rows[row] = rows[at]
    return Decoded(pixels[: len(taken)], marks, taken, bad)


def _workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, cores)


def _made(folder: Path, images: Sequence[Entry], size: int, background: str, progress: Progress) -> Decoded:
    """Decode into ``folder``, whole or not at all."""
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        with (part / "pixels").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, len(images) * 3 * size * size)  # no room is an error, not a crash
        pixels = mapped.opened_for_writing(part / "pixels", (len(images), 3, size, size))
        done = _decode(images, pixels, background, progress)
        note: dict[str, Any] = {"n": len(images), "marks": done.marks, "taken": done.taken, "bad": done.bad}
        del done, pixels
        note["pixels"] = _sum(part / "pixels")
        (part / "note.json").write_text(json.dumps({**note, "sum": digest(note)}))
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    found = _opened(folder, size, check=False)
    if found is None:
        raise OSError(f"{folder} was taken away")
    return found


def _opened(folder: Path, size: int, check: bool = True) -> Decoded | None:
    """What lies in ``folder``; None where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads((folder / "note.json").read_text())
        total = note.pop("sum")
        if total != digest(note) or (check and note["pixels"] != _sum(folder / "pixels")):
            return None
        pixels = mapped.opened(folder / "pixels", (note["n"], 3, size, size))
        bad = [(int(at), str(why)) for at, why in note["bad"]]
        return Decoded(pixels[: len(note["taken"])], note["marks"], note["taken"], bad)
    return None


def _sum(file: Path) -> str:
    """A digest of a large file, read through a small window: its pages do not count as this process's memory."""
    sums = hashlib.blake2b(digest_size=20)
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            sums.update(block)
    return sums.hexdigest()
