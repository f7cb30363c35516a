"""An artefact's folder as bytes, to travel between machines: names, checksums, contents. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bench.store import sums
from bench.store.store import Store

MAGIC = b"lockbench-pack-1\n"
_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 2**24
"""Bytes."""

Bytes = bytes | bytearray | memoryview


class BadPack(ValueError):
    """Bytes that are no whole, unchanged folder."""


def pack(folder: Path) -> bytes:
    """The files under ``folder`` as bytes, its own checksums apart: who unpacks them writes new ones.

    Raises:
        BadPack: a file is not what was written, by the folder's checksums.
        OSError: a file cannot be read.
    """
    try:
        known = sums.read(folder)
    except ValueError as error:
        raise BadPack(str(error)) from None
    contents = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / sums.SUMS
    }
    for name, own in (known or {}).items():
        if name not in contents:
            raise BadPack(f"{name} is missing")
        if (problem := own.problem(name, contents[name])) is not None:
            raise BadPack(problem)
    return pack_files(contents)


def pack_files(contents: Mapping[str, bytes]) -> bytes:
    """Files by relative name as bytes."""
    listed = [[name, len(content), hashlib.sha256(content).hexdigest()] for name, content in contents.items()]
    header = json.dumps({"files": listed}).encode()
    return b"".join([MAGIC, _LENGTH.pack(len(header)), header, *contents.values()])


def unpack_files(packed: Bytes) -> dict[str, bytes]:
    """What `pack_files` was given.

    Raises:
        BadPack: the bytes are cut or changed, or a name leads out of its folder.
    """
    view = memoryview(packed).cast("B")
    start = len(MAGIC) + _LENGTH.size
    if len(view) < start or view[: len(MAGIC)] != MAGIC:
        raise BadPack("these bytes are no packed folder")
    (length,) = _LENGTH.unpack(view[len(MAGIC) : start])
    if length > min(_LARGEST_HEADER, len(view) - start):
        raise BadPack("the list of files is cut")
    listed = _listed(bytes(view[start : start + length]))
    at, out = start + length, {}
    for name, size, sha256 in listed:
        content = bytes(view[at : at + size])
        at += size
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise BadPack(f"{name} was cut or changed on its way")
        out[name] = content
    if at != len(view):
        raise BadPack("there is more behind the last file")
    return out


def unpack(packed: Bytes, folder: Path) -> None:
    """Write what `pack` read into the empty folder ``folder``.

    Raises:
        BadPack: as `unpack_files`; nothing is written.
        OSError: a file cannot be written.
    """
    for name, content in unpack_files(packed).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def add(store: Store, kind: str, hash: str, packed: Bytes) -> None:
    """Put a packed artefact into ``store``, at once and with checksums; one that is there already stays.

    Raises:
        BadPack: the bytes are no whole artefact.
        StoreError: the disk is full, or refuses.
    """
    with store.making(kind, hash) as part:
        if part is not None:
            unpack(packed, part)


def _listed(header: bytes) -> list[tuple[str, int, str]]:
    try:
        files: Any = json.loads(header)["files"]
        listed = [(str(name), int(size), str(sha256)) for name, size, sha256 in files]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadPack("the list of files cannot be read") from None
    names = [name for name, _, _ in listed]
    taken = set(names)
    if len(taken) < len(names):
        raise BadPack("a file stands in it twice")
    for name, size, _ in listed:
        if size < 0 or not _is_inside(name) or not taken.isdisjoint(map(str, PurePosixPath(name).parents)):
            raise BadPack(f"it has a file {name[:80]!r}")
    return listed


def _is_inside(name: str) -> bool:
    """Whether ``name`` is a plain relative path that stays in its folder."""
    path = PurePosixPath(name)
    plain = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
    return plain and "\\" not in name and "\0" not in name and name != sums.SUMS
