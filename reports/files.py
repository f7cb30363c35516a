"""File names and atomic writes."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bench.errors import UserError
from bench.hashing import digest

_DIGEST = re.compile(r"-[0-9a-f]{10}$")


LONGEST = 120
"""Characters of a file's name; file systems take 255 bytes, of which a file in the making needs some."""


def name_of(*parts: str, ending: str = "") -> str:
    """A file name that tells ``parts`` apart: two lists of parts never share one, on no file system.

    Args:
        parts: names; the first is ours and plain. A digest of all stands behind them unless they can be read off the
            name: lower-case letters, digits and dots, hyphens in the last part alone, and not too long.
        ending: with its dot.
    """
    plain = "-".join(map(slug, parts))
    readable = plain == "-".join(parts) and plain == plain.lower() and not any("-" in part for part in parts[1:-1])
    if readable and len(plain) + len(ending) <= LONGEST and not _DIGEST.search(plain):
        return plain + ending
    mark = digest([part.encode("utf-8", "surrogatepass").hex() for part in parts])[:10]
    return f"{plain[: LONGEST - len(mark) - len(ending) - 1].rstrip('-')}-{mark}{ending}"


def slug(text: str) -> str:
    """``text`` as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-") or "unnamed"


def atomic(path: str | Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Call ``write`` with a binary file that becomes ``path`` only when it is whole.

    Raises:
        UserError: the place cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".lockbench-", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror or error}.", "Name another folder or free space."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path
