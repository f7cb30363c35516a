"""Digests of JSON values, files and folders. No torch here."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

LENGTH = 20
"""Hex digits of a digest."""


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, the first 20 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:LENGTH]


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; integers that are floats (1.0) are written as integers.

    Raises:
        TypeError: ``value`` holds something JSON cannot say.
        ValueError: a number that is not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
        # Most values are text, and stand as they are.
        return {k: v if type(v) is str else _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def file_digest(path: Path) -> str:
    """Digest of the content of the file ``path``."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]


@cache
def folder_digest(folder: Path) -> str:
    """Digest of names and content of every file under ``folder``, cached for the life of the process."""
    sums = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        sums.update(os.fsencode(file.relative_to(folder)))  # names need not be UTF-8
        sums.update(hashlib.sha256(file.read_bytes()).digest())
    return sums.hexdigest()[:LENGTH]
