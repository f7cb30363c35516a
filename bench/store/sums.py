"""Checksums beside what they cover: ``sums.json`` in the folder of a record or an artefact.

They show that files are what was written: not cut, not edited, no bit flipped. Who edits a file on purpose can write
its checksum anew, so they show nothing of where the numbers came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUMS = "sums.json"


@dataclass(frozen=True)
class Sum:
    """What a file was when it was written: SHA-256 in hex digits, and its size, bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> Sum:
        """The checksum of ``content``."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))

    def problem(self, name: str, content: bytes) -> str | None:
        """What is wrong with the ``content`` of the file ``name``; None where it is what was written."""
        if len(content) != self.size:
            return f"{name} has {len(content)} of {self.size} bytes"
        return None if Sum.of(content) == self else f"{name} was changed after it was written"


def write(folder: Path) -> None:
    """Write the checksums of every file under ``folder`` into it."""
    found = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / SUMS):
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        found[file.relative_to(folder).as_posix()] = {"sha256": sha256, "bytes": file.stat().st_size}
    (folder / SUMS).write_text(json.dumps({"files": found}, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> Mapping[str, Sum] | None:
    """The checksums in ``folder`` by file name; None where it has none.

    Raises:
        ValueError: the file of the checksums is itself damaged.
    """
    try:
        if (folder / SUMS).exists() and not (folder / SUMS).is_file():
            raise ValueError
        files = json.loads((folder / SUMS).read_bytes())["files"]
        return {str(name): Sum(str(s["sha256"]), int(s["bytes"])) for name, s in files.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise ValueError(f"{SUMS} is damaged") from None


def problem(folder: Path, required: bool) -> str | None:
    """What is wrong with the files of ``folder``; None where they are what was written.

    Args:
        required: whether checksums must be there. Without them, files that older code wrote are looked at for what
            shows of itself: JSON or safetensors that cannot be read.
    """
    if not folder.is_dir():
        return "it is no folder"
    try:
        sums = read(folder)
    except ValueError as error:
        return str(error)
    if sums is None:
        return f"{SUMS} is missing" if required else _visible_problem(folder)
    for name, own in sums.items():
        file = folder / name
        try:
            size = file.stat().st_size
            if not file.is_file():
                return f"{name} is no file"
            if size != own.size:
                return f"{name} has {size} of {own.size} bytes"
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != own.sha256:
                    return f"{name} was changed after it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def _visible_problem(folder: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    files = [p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")]
    for file in files:
        try:
            if not file.is_file():
                return f"{file.name} is no file"
            if file.suffix == ".json":
                json.loads(file.read_bytes())
            else:
                with safe_open(file, "numpy"):
                    pass
        except (OSError, ValueError, RecursionError, SafetensorError):
            return f"{file.name} cannot be read"
    return None if files else "it is empty"
