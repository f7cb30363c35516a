"""Times that a store keeps: when a record was needed last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path


def of(file: Path) -> str:
    """The time that stands in ``file``; empty where none does."""
    try:
        text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        return text if datetime.fromisoformat(text) else ""
    except (OSError, ValueError):
        return ""


def after(time: str) -> str:
    """This moment, or one millisecond after ``time`` where a clock went backwards."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    if time < now:
        return now
    try:
        return (datetime.fromisoformat(time) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):  # no time of ours
        return now
