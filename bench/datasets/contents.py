"""What a folder holds, as a digest: the same wherever it lies and whenever it was copied. No torch here.

Files are read once. Their digests are remembered by path, size and time, in one file for each folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.datasets import listing
from bench.hashing import digest
from bench.paths import data_home

SMALL = 32 << 20
"""Bytes of the files of a folder that is read anew each time: nothing is remembered of it."""
_SETTLED = 2 * 10**9
"""Nanoseconds after which a file of the same time and size is taken to be the same: a clock has steps."""


def of_images(root: Path, found: listing.Listing) -> str:
    """The digest of the classes of a folder of images, and of the name and content of each image, links followed."""
    sums = _digests(root, [entry.path for entry in found.images])
    images = [[entry.name, total] for entry, total in zip(found.images, sums, strict=True)]
    return digest({"classes": found.classes, "images": images})


def of_all(root: Path) -> str:
    """The digest of the name and content of every file under ``root``, hidden ones and droppings apart.

    A link that leads nowhere, or back to a folder above it, has its name alone.
    """
    paths = list(_all_files(root, ()))
    sums = _digests(root, paths)
    names = [listing.shown(listing.composed(str(path.relative_to(root)))) for path in paths]
    return digest(sorted(zip(names, sums, strict=True)))


def _all_files(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    here = folder.stat()
    at = (here.st_dev, here.st_ino)
    if at in above:
        return
    for path in listing.entries(folder):
        if path.is_dir():
            yield from _all_files(path, (*above, at))
        else:
            yield path


def _digests(root: Path, paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file; of one that cannot be read, what hinders it."""
    states = [_state(path) for path in paths]
    if sum(state[0] for state in states) <= SMALL:
        return [_file_digest(path) for path in paths]
    at = data_home() / "folders" / f"{digest(str(root.resolve()))}.json"
    known = _remembered(at)
    out: list[str] = []
    fresh: dict[str, list[Any]] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        names = [listing.shown(str(path)) for path in paths]
        old = [known.get(name) for name in names]
        jobs = [
            None if before is not None and tuple(before[:-1]) == state else pool.submit(_file_digest, path)
            for before, state, path in zip(old, states, paths, strict=True)
        ]
        for name, state, before, job in zip(names, states, old, jobs, strict=True):
            total = str(before[-1]) if job is None and before is not None else job.result() if job is not None else ""
            out.append(total)
            if time.time_ns() - max(state[1:3]) > _SETTLED:
                fresh[name] = [*state, total]
    if fresh != known:
        _remember(at, fresh)
    return out


def _state(path: Path) -> tuple[int, int, int, int]:
    """Size in bytes, both times in nanoseconds, inode: what unpacks an archive may set the first time back."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {type(error).__name__}"


def _remembered(at: Path) -> dict[str, list[Any]]:
    """What `_remember` wrote; nothing where it is missing or damaged."""
    try:
        value = json.loads(at.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(value, dict) or value.get("sum") != digest(value.get("files")):
        return {}
    return {k: v for k, v in value["files"].items() if isinstance(v, list) and len(v) == 5}


def _remember(at: Path, files: dict[str, list[Any]]) -> None:
    """Keep ``files`` at ``at``, whole or not at all; where nothing can be written, they are read again next time."""
    with contextlib.suppress(OSError):
        at.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=at.parent, prefix=f"{at.name}.")
        try:
            with os.fdopen(descriptor, "w") as stream:
                json.dump({"files": files, "sum": digest(files)}, stream)
            Path(part).replace(at)
        except OSError:
            Path(part).unlink(missing_ok=True)
            raise
