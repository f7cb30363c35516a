"""Why a record does not count: what invalidates a result stands beside its status, and never reads as a verdict."""

from __future__ import annotations

from bench.legible import shortened, visible
from bench.records import Record

INVALIDATING = ("not-finite", "wrong-shape")
"""Flags that name why a record is invalid."""
GUESTS = ("UP", "LP", "UP_shipped", "LP_shipped", "RP", "RP_validation", "authorised_after")
"""What is measured with a plugin's answers: no numbers of an invalid record. The others are the harness's own."""
LONGEST = 120
"""Characters of a reason."""


def reason_of(record: Record) -> str:
    """Why a record is not ok: the names of the flags that say so, else the first line of its error."""
    named = [flag.name for flag in record.flags if flag.name in INVALIDATING]
    first = next(iter((record.error or "").strip().splitlines()), "") or "no reason was recorded"
    return ", ".join(dict.fromkeys(named)) or shortened(visible(" ".join(first.split())), LONGEST)


def outcome(record: Record) -> str:
    """``invalid: not-finite`` or ``failed: ValueError: …``: the status and the reason."""
    return f"{record.status}: {reason_of(record)}"
