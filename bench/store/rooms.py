"""What lies in the rooms of a store: what may be records, and what is none of the store's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.hashing import LENGTH
from bench.store import disk, locks, parts
from bench.store.reading import RECORD

ROOMS = ("tmp", "locks", "records", "artefacts")
DIGITS = "0123456789abcdef"
HASH = re.compile(rf"[{DIGITS}]{{{LENGTH}}}")


def entries(root: Path, room: str) -> list[Path]:
    """What lies in ``room`` of the store at ``root``, by name; nothing where the room is missing.

    Raises:
        StoreError: it cannot be read.
    """
    with disk.clear_errors(root):
        try:
            return sorted((root / room).iterdir(), key=lambda p: os.fsencode(p.name))
        except FileNotFoundError:
            return []


def records(root: Path) -> list[str]:
    """Names of what may be records, in order.

    Raises:
        StoreError: they cannot be read.
    """
    hashes, others = _in_records(root)
    return sorted([*hashes, *(name for name in others if _has_record(root, name))])


def no_records(root: Path) -> list[str]:
    """Names of what lies among the records and is none, in order."""
    return sorted((n for n in _in_records(root)[1] if not _has_record(root, n)), key=os.fsencode)


def strays(root: Path) -> list[Path]:
    """Files and folders in the store's rooms that are none of its own."""
    out = [root / "records" / name for name in no_records(root)]
    for kind in entries(root, "artefacts"):
        if not kind.is_dir():
            out.append(kind)
        else:
            own = entries(root, f"artefacts/{kind.name}")
            out += [kind] if own and not any(map(_is_artefact, own)) else [p for p in own if not _is_artefact(p)]
    out += [p for p in entries(root, "tmp") if not parts.PART.fullmatch(p.name)]
    out += [p for p in entries(root, "locks") if not locks.name_of(p) or not p.is_file()]
    return out


def _in_records(root: Path) -> tuple[list[str], list[str]]:
    """What lies in ``records/``: names that are hashes, and the others."""
    with disk.clear_errors(root):
        try:
            names = os.listdir(root / "records")  # noqa: PTH208 - names alone, 100,000 of them
        except FileNotFoundError:
            return [], []
    others = [name for name in names if len(name) != LENGTH or name.strip(DIGITS)]
    return (names, []) if not others else (list(set(names).difference(others)), others)


def _has_record(root: Path, name: str) -> bool:
    return (root / "records" / name / RECORD).is_file()


def _is_artefact(path: Path) -> bool:
    return HASH.fullmatch(path.name) is not None
