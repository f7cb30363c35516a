"""What a process that runs stages says to the one that shows them: not too often, and not too much at once."""

from __future__ import annotations

import time

from bench.harness.watch import Evidence

MOST_ANSWERS = 200_000
"""Per-image answers that are sent ahead of a record: the receiver has the rest with the record."""
INTERVAL = 0.2
"""Seconds between two messages about the steps of a stage."""


class Pace:
    """Lets something through once in an interval.

    Args:
        seconds: of the interval.
    """

    def __init__(self, seconds: float = INTERVAL) -> None:
        self._seconds, self._next = seconds, 0.0

    def is_due(self) -> bool:
        """Whether the interval is over; a new one starts then."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


def early_answers(evidence: Evidence) -> Evidence | None:
    """Of ``evidence``, the answers that are sent ahead of a record, by name; None where they are too many."""
    answers = {name: values for name, values in evidence.items() if not name.startswith("samples/")}
    return answers if sum(map(len, answers.values())) <= MOST_ANSWERS else None
