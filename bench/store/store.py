"""Content-addressed artefacts and records on disk: atomic, resumable, safe for several runs at once.

Layout: ``artefacts/KIND/HASH/`` and ``records/HASH/`` are folders that appear by one rename, complete or
not at all; ``edits.sqlite`` caches edited images; ``locks/`` holds file locks; ``tmp/`` what is being made.
"""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.hashing import canonical
from bench.records import SCHEMA, Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


REUSED = "reused"
"""A file beside a record: when a run last needed it and found it."""
LOG = "log.txt"
"""A file beside a record: what its plugins printed, where they did."""
FULL, READ_ONLY = (errno.ENOSPC, errno.EDQUOT), errno.EROFS


class Store:
    """A folder of artefacts and records.

    Args:
        root: the folder; made if ``write`` is true.
        write: False opens it for reading only.

    Raises:
        UserError: the folder cannot be made or written, or is another program's, or another schema's.
    """

    def __init__(self, root: Path, write: bool = True) -> None:
        self.root = root
        mark = root / "lockbench.json"
        if write:
            with _clear_errors(root):
                if root.is_dir() and any(root.iterdir()) and not mark.exists():
                    raise UserError(f"{root} is no store, and not empty.", "Name another folder with --store.")
                root.mkdir(parents=True, exist_ok=True)
                for name in ("tmp", "locks", "records", "artefacts"):
                    (root / name).mkdir(exist_ok=True)
                if not mark.exists():
                    _write_atomically(mark, canonical({"schema": SCHEMA}))
                probe = root / "tmp" / f"probe-{uuid.uuid4().hex}"
                probe.write_text("x")
                probe.unlink()
        elif not mark.exists():
            raise UserError(
                f"there is no store at {root}.", "Run something first: bench run, or name one with --store."
            )
        header = json.loads(mark.read_text())
        if header.get("schema") != SCHEMA:
            raise UserError(
                f"the store {root} has schema {header.get('schema')}, this version writes {SCHEMA}.",
                "Use another --store; old records are not rewritten.",
            )

    @property
    def edits(self) -> Path:
        """The edit cache."""
        return self.root / "edits.sqlite"

    def artefact(self, kind: str, hash: str) -> Path:
        """Where the artefact is, or would be."""
        return self.root / "artefacts" / kind / hash

    def has(self, kind: str, hash: str) -> bool:
        """Whether the artefact is complete."""
        return self.artefact(kind, hash).is_dir()

    @contextmanager
    def making(self, kind: str, hash: str) -> Iterator[Path | None]:
        """A folder to make an artefact in, moved into place if the block ends well.

        Yields None where the artefact exists already, perhaps made meanwhile by another run, for which
        this waits.
        """
        target = self.artefact(kind, hash)
        with _clear_errors(self.root), self._lock(f"{kind}-{hash}"):
            if target.is_dir():
                yield None
                return
            part = self._part()
            try:
                yield part
                target.parent.mkdir(parents=True, exist_ok=True)
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def put(self, record: Record, evidence: Mapping[str, npt.NDArray[Any]], log: str = "") -> None:
        """Write ``record`` with its evidence, and what its plugins printed; a record of the same hash is replaced."""
        from safetensors.numpy import save_file

        with _clear_errors(self.root), self._lock(f"record-{record.hash}"):
            part = self._part()
            try:
                (part / "record.json").write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
                save_file({k: _contiguous(v) for k, v in evidence.items()}, part / "evidence.safetensors")
                if log:
                    (part / LOG).write_text(log, encoding="utf-8")
                target = self.root / "records" / record.hash
                if target.exists():
                    old = self._part()
                    old.rmdir()
                    target.rename(old)
                    part.rename(target)
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def get(self, hash: str) -> Record | None:
        """The record of that hash, or None."""
        try:
            text = (self.root / "records" / hash / "record.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        record = Record.model_validate_json(text)
        with suppress(OSError):
            record.provenance.reused = (self.root / "records" / hash / REUSED).read_text(encoding="utf-8").strip()
        return record

    def reuse(self, hashes: Collection[str]) -> None:
        """Let the records that a run has just needed stand for their cells, where newer ones of the same cells do.

        Code that changed and was changed back has an older record than the code between; so have other threads.
        """
        if not hashes:
            return
        last: dict[tuple[str, int], tuple[str, str]] = {}
        own: dict[str, tuple[str, int]] = {}
        for record in self.records():
            at = own[record.hash] = record.row_key, record.cell.replicate
            last[at] = max(last.get(at, ("", "")), (record.last, record.hash))
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        for hash in hashes:
            if hash in own and last[own[hash]][1] != hash:
                with suppress(OSError):  # a store that cannot be written can still be read
                    _write_atomically(self.root / "records" / hash / REUSED, now + "\n")

    def records(self) -> list[Record]:
        """Every record, oldest first."""
        out = [self.get(folder.name) for folder in sorted((self.root / "records").iterdir())]
        return sorted((r for r in out if r is not None), key=lambda r: (r.provenance.created, r.hash))

    def evidence(self, record: Record) -> dict[str, np.ndarray[Any, Any]]:
        """The per-image evidence of ``record`` by name; empty where there is none."""
        from safetensors.numpy import load_file

        file = self.root / "records" / record.hash / "evidence.safetensors"
        return dict(load_file(file)) if file.exists() else {}

    def clean(self) -> None:
        """Remove what killed runs left half made (older than a day; younger may belong to a living run)."""
        for part in (self.root / "tmp").iterdir():
            if time.time() - part.stat().st_mtime > 86_400:
                shutil.rmtree(part, ignore_errors=True)

    def _part(self) -> Path:
        part = self.root / "tmp" / uuid.uuid4().hex
        part.mkdir(parents=True)
        return part

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with (self.root / "locks" / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _contiguous(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(array)


def _write_atomically(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


@contextmanager
def _clear_errors(root: Path) -> Iterator[None]:
    """A full disk or a read-only folder becomes one clear line."""
    try:
        yield
    except PermissionError as error:
        if type(error) is not PermissionError:  # a plugin's AccessDenied is not about files
            raise
        raise UserError(f"the store {root} cannot be written.", "Name another folder with --store.") from None
    except FileExistsError:
        raise UserError(f"{root} is a file, not a folder.", "Name another folder with --store.") from None
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"no space left for the store {root}.", "Free some space; the run continues where it stopped."
            ) from None
        if error.errno == READ_ONLY:
            raise UserError(f"the store {root} is read-only.", "Name another folder with --store.") from None
        raise
