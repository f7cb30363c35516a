"""What went wrong in a guest, in words that name its file and line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from bench.legible import cut

LONGEST = 2_000
"""Characters of an error that a record keeps; the log has more."""
TRACEBACK = 20_000
"""Characters of a traceback that a record keeps."""


class GuestFailed(Exception):
    """A plugin failed in its process: it raised, died, ran into a limit or broke the protocol.

    Args:
        message: what happened, one line.
        traceback: of the plugin, where it raised.
        log: what the plugin printed.
        kind: class of the exception that the plugin raised; empty where it raised none.
    """

    def __init__(self, message: str, traceback: str = "", log: str = "", kind: str = "") -> None:
        super().__init__(cut(message, LONGEST))
        self.message, self.traceback, self.log, self.kind = cut(message, LONGEST), cut(traceback, TRACEBACK), log, kind


class InvalidResult(Exception):
    """A plugin returned what is no answer: the cell is invalid, and carries a red flag.

    Args:
        flag: ``not-finite`` or ``wrong-shape``.
        detail: what came, and what was due.
    """

    def __init__(self, flag: str, detail: str) -> None:
        super().__init__(f"{flag}: {detail}")
        self.flag, self.detail = flag, detail


def describe(error: BaseException) -> dict[str, Any]:
    """``error`` as JSON: its class, message, place and traceback."""
    try:
        text = str(error)
    except BaseException:  # a guest's own exception class may raise
        text = "(its message cannot be shown)"
    name = type(error).__name__
    where = place(error)
    shown = traceback.format_exc(limit=-20) if error.__traceback__ is not None else ""
    return {
        "type": name,
        "message": cut(f"{name}: {text}" if text else name, LONGEST),
        "where": where,
        "traceback": cut(shown, TRACEBACK),
    }


def place(error: BaseException) -> str:
    """``FILE, line N`` of the innermost frame outside installed libraries; empty where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame in reversed(frames):
        if not _is_library(frame.filename):
            return f"{Path(frame.filename).name}, line {frame.lineno}"
    return ""


def _is_library(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file or file.startswith((sys.base_prefix, "<"))
