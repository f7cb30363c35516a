"""Paths as users write them, and where downloads and caches lie. No torch here."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bench.errors import UserError

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def user_path(text: str | Path) -> Path:
    """The path ``text`` with ``~`` expanded; nothing need be there.

    Raises:
        UserError: a home that is not known, a character that no path can hold, a name longer than a file system
            takes, a circle of links, or a folder on the way that may not be entered.
    """
    try:
        path = Path(text).expanduser()
        path.stat()
    except RuntimeError:
        raise UserError(f"'{text}' begins with a home that is not known.", "Write the full path.") from None
    except ValueError:
        raise UserError(f"'{text}' holds a character that no path can hold.", "Write the path without it.") from None
    except OSError as error:
        if error.errno not in _ABSENT:
            raise UserError(f"'{text}' cannot be read: {error.strerror}.", "Name another path.") from None
    return path


def data_home() -> Path:
    """Where downloads and decoded folders are kept: ``LOCKBENCH_DATA``, else ``~/.cache/lockbench``."""
    text = os.environ.get("LOCKBENCH_DATA") or "~/.cache/lockbench"
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a home that is not known
        return Path(text)
