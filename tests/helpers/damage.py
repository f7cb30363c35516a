"""Ways to damage a record's files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from bench.records import SCHEMA
from bench.store import sums
from bench.store.reading import EVIDENCE, RECORD


def edit(file: Path, **changes: object) -> None:
    value = json.loads(file.read_text())
    for path, new in changes.items():
        at = value
        *way, last = path.split("__")
        for step in way:
            at = at[step]
        at[last] = new
    file.write_text(json.dumps(value))


def _folder_for_file(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe_for_file(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated": (RECORD, lambda f: f.write_bytes(f.read_bytes()[:100]), "100 of"),
    "empty": (RECORD, lambda f: f.write_bytes(b""), "0 of"),
    "utf-16": (RECORD, lambda f: f.write_bytes(f.read_text().encode("utf-16")), "bytes"),
    "latin-1": (RECORD, lambda f: f.write_bytes(f.read_bytes().replace(b"digits", b"d\xefgits")), "changed"),
    "no JSON": (RECORD, lambda f: f.write_text("hello"), "5 of"),
    "a list": (RECORD, lambda f: f.write_text("[]"), "2 of"),
    "extra field": (RECORD, lambda f: edit(f, mood="good"), "bytes"),
    "RP 150": (RECORD, lambda f: edit(f, UP__value=150.0), "bytes"),
    "plausible": (RECORD, lambda f: f.write_text(f.read_text().replace('"value": 50.0', '"value": 30.0')), "changed"),
    "schema": (RECORD, lambda f: edit(f, schema_version=SCHEMA - 1), "bytes"),
    "folder": (RECORD, _folder_for_file, "record.json is no file"),
    "pipe": (RECORD, _pipe_for_file, "record.json is no file"),
    "sums a pipe": (sums.SUMS, _pipe_for_file, "sums.json is damaged"),
    "gone": (RECORD, Path.unlink, "record.json is missing"),
    "evidence cut": (EVIDENCE, lambda f: f.write_bytes(f.read_bytes()[:50]), "50 of"),
    "evidence flipped": (EVIDENCE, flip, "evidence.safetensors was changed"),
    "evidence gone": (EVIDENCE, Path.unlink, "evidence.safetensors is missing"),
    "sums cut": (sums.SUMS, lambda f: f.write_bytes(f.read_bytes()[:20]), "sums.json is damaged"),
    "sums a list": (sums.SUMS, lambda f: f.write_text("[1]"), "sums.json is damaged"),
    "sums of nothing": (sums.SUMS, lambda f: f.write_text('{"files": {}}'), "lacks record.json"),
    "sums gone": (sums.SUMS, Path.unlink, "sums.json is missing"),
}
