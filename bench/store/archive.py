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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.hashing import digest
from bench.legible import is_visible, visible
from bench.records import SCHEMA, THIRD_PARTY, Flag, Provenance, Record
from bench.store import Store
from bench.store.reading import EVIDENCE, LARGEST, PARTS, RECORD, Absent, Damaged, arrays, evidence_problem, parse
from bench.store.rooms import HASH
from bench.store.store import DamagedRecord

FORMAT = 1
SMALL, RATIO, LARGEST_TOTAL = 64 * 2**20, 100, 32 * 2**30
"""Unpacked bytes of a file below which any are allowed; above, how often its own size, and how many at most."""
LARGEST_MANIFEST = 64 * 2**20
MOST = 200_000
"""Members that a file may have."""
MANIFEST = "manifest.json"
MEMBER = re.compile(r"records/([0-9a-f]{20})/(record\.json|evidence\.safetensors)")
DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OverflowError, zlib.error, struct.error)
"""What reading a zip raises where its bytes are not those that were written."""
NAMES = ("cell", "row_key", "classes", "conditions", "key", "provenance")
"""Fields whose text stands in tables as names: what cannot be printed is refused there, and escaped elsewhere."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member, so that the same records give the same file."""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Args:
        added: records that are new.
        known: records that were there already, and stay as they were.
        hashes: of all of them, in order.
        differing: of the known ones, those that say other numbers in the file.
    """

    added: int
    known: int
    hashes: tuple[str, ...] = field(default=(), compare=False)
    differing: int = 0


class Refused(UserError):
    """A file of records that is refused.

    Args:
        part: what of it is wrong: the ``container``, a ``checksum``, or a ``record`` with its evidence.
    """

    def __init__(self, message: str, remedy: str, part: str) -> None:
        super().__init__(message, remedy)
        self.part = part


@dataclass(frozen=True)
class Exported:
    """How many records an export wrote, and the damaged ones that it left out."""

    written: int
    left_out: tuple[DamagedRecord, ...] = ()


def export(store: Store, file: Path) -> Exported:
    """Write every record of ``store`` that can be believed, with its evidence, to ``file``, at once.

    Raises:
        UserError: no records, or a place that cannot be written.
    """
    contents = store.contents()
    hashes = sorted(record.hash for record in contents.records if HASH.fullmatch(record.hash))
    if not hashes:
        left = f", only {len(contents.damaged)} damaged" if contents.damaged else ""
        raise UserError(f"the store {store.root} has no records{left}.", "Run something first: bench run")
    if not file.name or file.is_dir():
        raise UserError(f"{file} is a folder.", "Name a file in it, such as records.zip.")
    part = file.with_name(f".{uuid.uuid4().hex}.part")
    files: dict[str, dict[str, Any]] = {}
    left_out = list(contents.damaged)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as out:
            for hash in hashes:
                try:
                    stored = store.read(hash)
                except (Damaged, Absent) as damage:  # since it was listed
                    left_out.append(DamagedRecord(hash, str(damage)))
                    continue
                for name, content in stored.contents.items():
                    member = f"records/{hash}/{name}"
                    files[member] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                    _add(out, member, content)
            manifest = {"format": FORMAT, "schema": SCHEMA, "files": files}
            _add(out, MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        part.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return Exported(len(files) // len(PARTS), tuple(left_out))


def _add(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    out.writestr(info, content, zipfile.ZIP_DEFLATED)


def load(file: Path, store: Store, mark: bool = True) -> Imported:
    """Add the records of ``file`` to ``store``; nothing is written unless all of it is sound.

    Args:
        mark: whether they are marked third-party. False: the numbers count as measured here.

    Raises:
        UserError: as `read`.
    """
    for _ in read(file):
        pass
    added = known = differing = 0
    hashes = []
    for record, evidence in read(file):
        hashes.append(record.hash)
        here = store.get(record.hash)
        if here is None and store.put(_marked(record, file) if mark else record, evidence, replace=False):
            added += 1
            continue
        here = here or store.get(record.hash)
        known += 1
        differing += here is None or _said(here) != _said(record)
    return Imported(added, known, tuple(hashes), differing)


def read(file: Path) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Every record of ``file`` with its evidence, verified one by one, as its authors exported it.

    Raises:
        UserError: no such file, or it cannot be read.
        Refused: not such a file, another format or schema, a checksum that does not match, or a member that has no
            business there: another path, a link, too large, twice.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            yield from _records(file, opened, _manifest(file, opened))
    except FileNotFoundError:
        raise UserError(f"there is no file {file}.", "Check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{file} is a folder.", "Name a file that `bench export` wrote.") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}.", "Name another file.") from None
    except DAMAGED as error:
        raise _refused(file, str(error) or type(error).__name__) from None


def _refused(file: Path, why: str, part: str = "container") -> Refused:
    remedy = "Ask its authors for what `bench export` writes; nothing was added."
    return Refused(f"{file} is refused: {visible(why)}.", remedy, part)


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
    total, packed = sum(info.file_size for info in infos), file.stat().st_size
    if total > LARGEST_TOTAL or total > max(SMALL, RATIO * packed):
        raise _refused(file, f"its {packed} bytes would unpack to {total}")
    if MANIFEST not in names:
        raise _refused(file, f"it has no {MANIFEST}")
    if opened.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
        raise _refused(file, f"its {MANIFEST} is too large")
    try:
        manifest = json.loads(_content(opened, MANIFEST, opened.getinfo(MANIFEST).file_size))
        form, schema, files = manifest["format"], manifest["schema"], manifest["files"]
        listed = {name: {"sha256": str(x["sha256"]), "bytes": int(x["bytes"])} for name, x in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _refused(file, f"its {MANIFEST} cannot be read ({type(error).__name__})") from None
    if form != FORMAT or schema != SCHEMA:
        raise Refused(
            f"{file} has format {_short(form)} and schema {_short(schema)}; this version reads {FORMAT} and {SCHEMA}.",
            "Use the version that wrote it.",
            "container",
        )
    if set(listed) != set(names) - {MANIFEST}:
        raise _refused(file, "its members are not those of its manifest")
    for name, told in listed.items():
        if told["bytes"] != opened.getinfo(name).file_size:
            raise _refused(file, f"{name} has another size than its manifest says")
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
    for hash in sorted({name.split("/")[1] for name in manifest}):
        contents = {}
        for part in PARTS:
            name = f"records/{hash}/{part}"
            content = _content(opened, name, manifest[name]["bytes"])
            if len(content) != manifest[name]["bytes"] or _sha256(content) != manifest[name]["sha256"]:
                raise _refused(file, f"the checksum of {name} does not match", "checksum")
            contents[part] = content
        try:
            record = parse(contents[RECORD], hash)
            evidence = arrays(contents[EVIDENCE])
        except Damaged as damage:
            raise _refused(file, f"record {hash}: {damage}", "record") from None
        if (problem := evidence_problem(evidence)) is not None:
            raise _refused(file, f"record {hash}: {problem}", "record")
        if not _adds_up(record.provenance):
            raise _refused(file, f"record {hash} was not made from what it says entered it", "record")
        yield _seen(file, record, evidence), evidence


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _short(value: object) -> str:
    return visible(str(value)[:40])


def _seen(file: Path, record: Record, evidence: dict[str, Any]) -> Record:
    """``record`` with nothing in it that a terminal would take for a command or could not show.

    Raises:
        UserError: a name holds such a character.
    """
    value = record.model_dump(mode="json")
    value["provenance"]["command"] = visible(record.provenance.command)
    for name in NAMES:
        for text in _texts(value[name]):
            if not is_visible(text):
                raise _refused(file, f"record {record.hash}: {name} holds {text[:60]!a}", "record")
    for name in evidence:
        if not is_visible(name):
            raise _refused(file, f"record {record.hash}: its evidence has the name {name[:60]!a}", "record")
    others = {name: _escaped(x) for name, x in value.items() if name not in NAMES}
    return Record.model_validate_json(json.dumps({**value, **others}))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value, keep="\n\t")
    if isinstance(value, dict):
        return {visible(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _adds_up(provenance: Provenance) -> bool:
    """Whether the hash is that of the inputs beside it, and so is every parent's along the way."""
    inputs = provenance.inputs
    try:
        parents = [item for stage in inputs.values() for item in stage.get("parents", {}).items()]
        named = [*parents, *provenance.parents.items(), ("record", provenance.hash)]
        return all(digest(inputs[name]) == hash for name, hash in named)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # a strange shape, or no JSON
        return False


def _said(record: Record) -> dict[str, Any]:
    """What ``record`` says was measured; a hash is of what went in, and not of what came out."""
    return record.model_dump(mode="json", include={"status", "UP", "LP", "RP", "oracle", "victim_authorised", "floor"})


def _marked(record: Record, file: Path) -> Record:
    """``record`` as another's; the flag makes every table say so."""
    name = visible(file.name)
    flag = Flag(name=THIRD_PARTY, detail=f"imported from {name}; not measured here")
    others = [f for f in record.flags if f.name != flag.name]
    return record.model_copy(update={"third_party": name, "flags": [*others, flag]})
