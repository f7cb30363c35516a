"""What the locks of cells need beside images; this imports the plugins, or asks guests."""

from __future__ import annotations

from collections.abc import Iterable

from bench import registry
from bench.guests import questions
from bench.guests.failure import GuestFailed
from bench.records import Cell


def lock_of(cell: Cell) -> str:
    """Name and parameters of the lock of ``cell``."""
    return f"{cell.lock.name} {sorted(cell.lock.params.items())}"


def victims(cells: Iterable[Cell]) -> dict[str, bool]:
    """Whether each lock of ``cells`` needs the unprotected model, by `lock_of`."""
    return {name: _reads_victim(cell) for name, cell in {lock_of(cell): cell for cell in cells}.items()}


def _reads_victim(cell: Cell) -> bool:
    info = registry.current().find("lock", cell.lock.name)
    try:
        return bool(questions.needs(info, cell.lock.params).victim)
    except GuestFailed:  # its stages say so in a record
        return True
