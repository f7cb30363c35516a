"""A record's files, read with distrust: whole, of this schema, and the record they are said to be."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.legible import visible
from bench.records import SCHEMA, Record
from bench.store import sums

RECORD, EVIDENCE = PARTS = ("record.json", "evidence.safetensors")
LARGEST = 256 * 2**20
"""Bytes that one of them may have; evidence of 50,000 test images has a tenth of it."""
_FLOAT_SLACK = 1e-6


class Damaged(Exception):
    """A record that cannot be believed; the message says why, in words that follow its name.

    Args:
        foreign: whether it is whole, but of another version: another schema, or fields that this one does not know.
    """

    def __init__(self, reason: str, foreign: bool = False) -> None:
        super().__init__(visible(reason))
        self.foreign = foreign


class Absent(Exception):
    """There is no such record."""


@dataclass(frozen=True)
class Stored:
    """A record as it lies in a store: what it says, and the bytes of its files by name."""

    record: Record
    contents: Mapping[str, bytes]
    summed: bool
    """Whether checksums covered it."""


def read(folder: Path, sums_required: bool) -> Stored:
    """The record in ``folder``.

    Raises:
        Damaged: it is not what was written, or was never a record of this schema.
        Absent: there is no such folder.
    """
    if not folder.exists() and not folder.is_symlink():
        raise Absent(folder.name)
    if not folder.is_dir():
        raise Damaged("it is no folder")
    contents = {name: _content(folder / name) for name in PARTS}
    try:
        known = sums.read(folder)
    except ValueError as error:
        raise Damaged(str(error)) from None
    if known is None and sums_required:
        raise Damaged(f"{sums.SUMS} is missing")
    if known is not None:
        for name, content in contents.items():
            problem = known[name].problem(name, content) if name in known else f"{sums.SUMS} lacks {name}"
            if problem is not None:
                raise Damaged(problem)
    record = parse(contents[RECORD], folder.name)
    if known is None:
        arrays(contents[EVIDENCE])
    return Stored(record, contents, known is not None)


def _content(file: Path) -> bytes:
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for without end
            raise Damaged(f"{file.name} is no file")
        if state.st_size > LARGEST:
            raise Damaged(f"{file.name} is too large ({state.st_size} bytes)")
        return file.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{file.name} is missing") from None
    except OSError as error:
        raise Damaged(f"{file.name} cannot be read ({error.strerror})") from None


def parse(content: bytes, hash: str) -> Record:
    """The record of that hash that ``content`` is the JSON of.

    Raises:
        Damaged: no record of this schema, of another hash or row, or a value that no measurement has.
    """
    if not content.strip():
        raise Damaged(f"{RECORD} is empty")
    try:
        # Strict: text never stands for a number.
        record = Record.model_validate_json(content, strict=True)
    except ValidationError as error:
        schema = _schema(content)
        if schema is not None and schema != SCHEMA:
            raise Damaged(f"it has schema {schema}, this version reads {SCHEMA}", foreign=True) from None
        unknown = _unknown(error)
        if unknown:
            reason = f"it has fields that this version does not know ({unknown}); a newer one may have written it"
            raise Damaged(reason, foreign=True) from None
        raise Damaged(_first(error)) from None
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        raise Damaged(f"{RECORD} cannot be read ({type(error).__name__})") from None
    if record.schema_version != SCHEMA:
        raise Damaged(f"it has schema {record.schema_version}, this version reads {SCHEMA}", foreign=True)
    for name, problem in _problems(record):
        raise Damaged(f"{name} {problem}")
    try:
        right = record.hash == hash and record.row_key == record.cell.row_key()
    except (ValueError, TypeError, OverflowError, RecursionError, UnicodeError) as error:
        raise Damaged(f"its cell has no row key ({type(error).__name__})") from None
    if not right:
        raise Damaged("it is not the one it says it is")
    return record


def _schema(content: bytes) -> int | None:
    import json

    try:
        value = json.loads(content)["schema_version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return value if isinstance(value, int) else None


def _unknown(error: ValidationError) -> str:
    """The fields of other names, where nothing else is wrong; empty otherwise."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    if any(e["type"] != "extra_forbidden" for e in errors):
        return ""
    return ", ".join(".".join(map(str, e["loc"])) for e in errors)[:80]


def _first(error: ValidationError) -> str:
    """Where the first error is and what it says."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))[:80]
    text = str(first["msg"])[:120]
    if first["type"] == "json_invalid":
        return f"{RECORD} is cut or no JSON ({text.removeprefix('Invalid JSON: ')})"
    return f"{where}: {text}" if where else text


def _problems(record: Record) -> Iterator[tuple[str, str]]:
    """What the types of the schema leave open and reports rely on: names of fields, and what is wrong with each."""
    cell = record.cell
    for kind in ("lock", "key", "attack"):
        for group in ("params", "explicit"):
            for name, value in getattr(getattr(cell, kind), group).items():
                if not _is_plain(value):
                    yield f"cell.{kind}.{group}.{name}", "is no parameter's value"
    if not isinstance(cell.key.params.get("editor", ""), str):
        yield "cell.key.params.editor", "is no name"
    for name, value in cell.task_settings.items():
        if not _is_plain(value):
            yield f"cell.task_settings.{name}", "is no setting's value"
    size = cell.task_settings.get("task.size", 32)
    if not (isinstance(size, int) and not isinstance(size, bool) and 0 < size < 2**16):
        yield "cell.task_settings.task.size", "is no size"
    meters: list[tuple[str, Mapping[str, Any] | None]] = [("meter", record.meter), ("lock_meter", record.lock_meter)]
    meters += [(f"curve.{i}.meter", point.meter) for i, point in enumerate(record.curve)]
    for where, meter in meters:
        for name, value in (meter or {}).items():
            if not _is_reading(value):
                yield f"{where}.{name}", "is no number"
    yield from _percentages(record)


def _percentages(record: Record) -> Iterator[tuple[str, str]]:
    shares: dict[str, float | None] = {"floor": record.floor, "LP_after_batch_norm": record.LP_after_batch_norm}
    shares |= {f"conditions.{i}.shipped": condition.shipped for i, condition in enumerate(record.conditions)}
    for i, point in enumerate(record.curve):
        shares |= {f"curve.{i}.RP": point.RP, f"curve.{i}.validation": point.validation}
    for name, share in shares.items():
        if share is not None and not -_FLOAT_SLACK <= share <= 100 + _FLOAT_SLACK:
            yield name, "is no percentage"
    for name in ("key_ms_per_image", "key_megabytes"):
        value = getattr(record, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            yield name, "is no cost"
    for name, seconds in record.provenance.seconds.items():
        if not (math.isfinite(seconds) and seconds >= 0):
            yield f"provenance.seconds.{name}", "is no time"


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool) or _is_reading(value)


def _is_reading(value: object) -> bool:
    """A finite number, or None where nothing was metered."""
    if value is None:
        return True
    return isinstance(value, int | float) and abs(value) < 2**63 and math.isfinite(value)


def arrays(content: bytes) -> dict[str, Any]:
    """The arrays of evidence that ``content`` holds, by name.

    Raises:
        Damaged: it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise Damaged(f"{EVIDENCE} cannot be read ({type(error).__name__})") from None


def evidence_problem(evidence: Mapping[str, Any]) -> str | None:
    """What is wrong with arrays that reports would join; None where they fit together."""
    sides = []
    for side in ("test", "authorised", "validation"):
        parts = [evidence[name] for part in ("index", "labels") if (name := f"{side}_{part}") in evidence]
        if any(a.dtype.kind not in "iu" for a in parts) or len({a.shape[:1] for a in parts}) > 1:
            return f"{side}_index and {side}_labels do not fit together"
        if any(a.ndim < 1 for a in parts):
            return f"{side}_labels is no list"
        sides += [a.shape for name, a in evidence.items() if name == f"{side}_labels"]
    for name, array in evidence.items():
        if name.startswith("pred/") and (array.dtype.kind not in "iu" or array.ndim < 1):
            return f"{name} holds no classes"
        if name.startswith("pred/") and not name.startswith("pred/condition/") and sides and array.shape not in sides:
            return f"{name} has another length than the labels"
        if name.startswith("confusion/") and not _is_confusion(array):
            return f"{name} holds no confusion counts"
        if name.startswith("samples/") and (problem := _sample_problem(name, evidence)):
            return problem
    return None


def _is_confusion(array: Any) -> bool:
    """Whether ``array`` is (n, K, K + 1) counts."""
    if array.dtype.kind not in "iu" or array.ndim != 3 or array.shape[2] != array.shape[1] + 1:
        return False
    return array.size > 0 and int(array.min()) >= 0 and int(array.sum()) > 0


def _sample_problem(name: str, evidence: Mapping[str, Any]) -> str | None:
    array, kind = evidence[name], name.removeprefix("samples/")
    if array.ndim == 4:
        return None if array.dtype == "uint8" and array.shape[1] == 3 else f"{name} holds no images"
    if array.dtype.kind not in "iu" or array.ndim < 1:
        return f"{name} holds no classes"
    own = kind.removeprefix("pred_").removeprefix("labels_") if kind != "labels" else "raw"
    images = evidence.get(f"samples/{own}", evidence.get("samples/raw"))
    if images is not None and len(array) < len(images):
        return f"{name} has fewer entries than there are images"
    return None
