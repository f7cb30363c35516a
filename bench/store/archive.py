"""Records as one file: what authors publish, and what others import without having to trust it.

A zip with ``manifest.json`` (format, schema, SHA-256 and size of every other member) and, for each record,
``records/HASH/record.json`` and ``records/HASH/evidence.safetensors``. No artefacts, nothing pickled. An import checks
everything before it writes anything; what it adds is marked third-party, and never takes the place of a record
measured here. A checksum shows that a file is whole, not that its numbers are true.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.hashing import digest
from bench.records import SCHEMA, THIRD_PARTY, Flag, Provenance, Record
from bench.store import Store

FORMAT = 1
LARGEST = 256 * 2**20
"""Bytes that a member may have; evidence of 50,000 test images has a tenth of it."""
MOST = 200_000
"""Members that a file may have."""
MANIFEST = "manifest.json"
MEMBER = re.compile(r"records/([0-9a-f]{20})/(record\.json|evidence\.safetensors)")
PARTS = ("record.json", "evidence.safetensors")
DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OverflowError, zlib.error, struct.error)
"""What reading a zip raises where its bytes are not those that were written."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member, so that the same records give the same file."""


@dataclass(frozen=True)
class Imported:
    """How many records an import added, and how many were there already."""

    added: int
    known: int


def export(store: Store, file: Path) -> int:
    """Write every record of ``store`` with its evidence to ``file``, at once.

    Returns:
        The number of records.

    Raises:
        UserError: no records, or a place that cannot be written.
    """
    folders = sorted(f for f in (store.root / "records").iterdir() if MEMBER.fullmatch(f"records/{f.name}/{PARTS[0]}"))
    if not folders:
        raise UserError(f"the store {store.root} has no records.", "Run something first: bench run")
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    files: dict[str, dict[str, Any]] = {}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as out:
            for folder in folders:
                for name in PARTS:
                    content = (folder / name).read_bytes()
                    member = f"records/{folder.name}/{name}"
                    files[member] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                    _add(out, member, content)
            manifest = {"format": FORMAT, "schema": SCHEMA, "files": files}
            _add(out, MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        part.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None
    finally:
        part.unlink(missing_ok=True)
    return len(folders)


def _add(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    out.writestr(info, content, zipfile.ZIP_DEFLATED)


def load(file: Path, store: Store) -> Imported:
    """Add the records of ``file`` to ``store``, marked third-party; nothing is written unless all of it is sound.

    Raises:
        UserError: not such a file, another format or schema, a checksum that does not match, or a member that has no
            business there: another path, a link, too large, twice.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            manifest = _manifest(file, opened)
            for _ in _records(file, opened, manifest):
                pass
            added = known = 0
            for record, evidence in _records(file, opened, manifest):
                if store.get(record.hash) is not None:
                    known += 1
                    continue
                store.put(_marked(record, file), evidence)
                added += 1
            return Imported(added, known)
    except FileNotFoundError:
        raise UserError(f"there is no file {file}.", "Check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{file} is a folder.", "Name a file that `bench export` wrote.") from None
    except DAMAGED as error:
        raise _refused(file, str(error) or type(error).__name__) from None


def _refused(file: Path, why: str) -> UserError:
    return UserError(f"{file} is refused: {why}.", "Ask its authors for what `bench export` writes; nothing was added.")


def _manifest(file: Path, opened: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    """Size and checksum of every member, once the list of members is sound."""
    infos = opened.infolist()
    names = [info.filename for info in infos]
    if len(names) > MOST:
        raise _refused(file, f"{len(names)} members")
    if len(set(names)) < len(names):
        raise _refused(file, "a member stands in it twice")
    for info in infos:
        mode = info.external_attr >> 16
        if info.filename != MANIFEST and not MEMBER.fullmatch(info.filename):
            raise _refused(file, f"it has a member {info.filename[:80]!r}")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _refused(file, f"{info.filename} is not a plain file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused(file, f"{info.filename} is packed in a way that `bench export` does not use")
        if info.file_size > LARGEST:
            raise _refused(file, f"{info.filename} is too large ({info.file_size} bytes)")
    if MANIFEST not in names:
        raise _refused(file, f"it has no {MANIFEST}")
    try:
        manifest = json.loads(_content(opened, MANIFEST, opened.getinfo(MANIFEST).file_size))
        form, schema, files = manifest["format"], manifest["schema"], manifest["files"]
        listed = {name: {"sha256": str(x["sha256"]), "bytes": int(x["bytes"])} for name, x in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(file, f"its {MANIFEST} cannot be read ({type(error).__name__})") from None
    if form != FORMAT or schema != SCHEMA:
        raise UserError(
            f"{file} has format {form} and schema {schema}; this version reads {FORMAT} and {SCHEMA}.",
            "Use the version that wrote it.",
        )
    if set(listed) != set(names) - {MANIFEST}:
        raise _refused(file, "its members are not those of its manifest")
    hashes = {name.split("/")[1] for name in listed}
    if {f"records/{h}/{part}" for h in hashes for part in PARTS} != set(listed):
        raise _refused(file, "a record lacks a part")
    return listed


def _content(opened: zipfile.ZipFile, name: str, size: int) -> bytes:
    """A member's bytes, never more than one above ``size``, whatever its header says."""
    try:
        with opened.open(name) as member:
            return member.read(size + 1)
    except OSError as error:  # an offset outside the file
        raise zipfile.BadZipFile(f"{name}: {error.strerror or error}") from None


def _records(
    file: Path, opened: zipfile.ZipFile, manifest: dict[str, dict[str, Any]]
) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Every record with its evidence, verified."""
    from pydantic import ValidationError
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    for hash in sorted({name.split("/")[1] for name in manifest}):
        contents = []
        for part in PARTS:
            name = f"records/{hash}/{part}"
            size = min(manifest[name]["bytes"], LARGEST)
            content = _content(opened, name, size)
            if len(content) != size or hashlib.sha256(content).hexdigest() != manifest[name]["sha256"]:
                raise _refused(file, f"the checksum of {name} does not match")
            contents.append(content)
        try:
            record = Record.model_validate_json(contents[0])
            evidence = read(contents[1])
        except (ValidationError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise _refused(file, f"record {hash} cannot be read ({type(error).__name__})") from None
        if record.hash != hash or record.row_key != record.cell.row_key():
            raise _refused(file, f"record {hash} is not the one it says it is")
        if not _adds_up(record.provenance):
            raise _refused(file, f"record {hash} was not made from what it says entered it")
        yield record, evidence


def _adds_up(provenance: Provenance) -> bool:
    """Whether the hash is that of the inputs beside it, and so is every parent's along the way."""
    inputs = provenance.inputs
    try:
        parents = [item for stage in inputs.values() for item in stage.get("parents", {}).items()]
        named = [*parents, *provenance.parents.items(), ("record", provenance.hash)]
        return all(digest(inputs[name]) == hash for name, hash in named)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # a strange shape, or no JSON
        return False


def _marked(record: Record, file: Path) -> Record:
    """``record`` as another's; the flag makes every table say so."""
    flag = Flag(name=THIRD_PARTY, detail=f"imported from {file.name}; not measured here")
    others = [f for f in record.flags if f.name != flag.name]
    return record.model_copy(update={"third_party": file.name, "flags": [*others, flag]})
