"""JSON that means one thing: no NaN, no number out of range, no name twice; and text that prints on one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from bench.legible import shortened, visible

LARGEST = 64 * 2**20
"""Bytes of a file that is read at all; a snapshot of a large suite has a few megabytes."""
SHOWN = 160
"""Characters of a foreign text that an error shows."""


def load(file: Path) -> Any:
    """The JSON value in ``file``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such JSON; says why, in one short line.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise ValueError("it is a folder") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} megabytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("it is UTF-16 text; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8 text") from None
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def shown(text: str) -> str:
    """``text`` of a file as an error shows it: nothing invisible, at most `SHOWN` characters."""
    return shortened(visible(text), SHOWN)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shown(twice)!r} stands twice")
    return out


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is out of range")
    return value
