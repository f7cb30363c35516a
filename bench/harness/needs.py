"""What the lock of a cell needs beside images; this imports the plugin, or asks a guest."""

from __future__ import annotations

from bench import registry
from bench.guests import questions
from bench.guests.failure import GuestFailed
from bench.records import Cell


def reads_victim(cell: Cell) -> bool:
    """Whether the lock of ``cell`` needs the unprotected model; a lock that cannot say so is taken to need it."""
    info = registry.current().find("lock", cell.lock.name)
    try:
        return bool(questions.needs(info, cell.lock.params).victim)
    except GuestFailed:  # its stages say so in a record
        return True
