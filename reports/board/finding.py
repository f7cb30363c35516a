"""What one check of a submission found, and the submission that checks look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.records import Record
from bench.store import Store
from reports.board.card import Card
from reports.rows import aggregate
from reports.rows.row import Row

NAMED = 6
"""Examples of one problem that are named."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        check: its name.
        ok: whether the submission passes it.
        what: what was found, in a sentence.
        remedy: what its authors can do; empty where it passes.
        lines: what a reviewer should see beside it.
        skipped: whether nothing was looked at, so that it says nothing.
    """

    check: str
    ok: bool
    what: str
    remedy: str = ""
    lines: tuple[str, ...] = ()
    skipped: bool = False

    @property
    def mark(self) -> str:
        """✓ or ✗, or a dash where nothing was looked at."""
        return "–" if self.skipped else "✓" if self.ok else "✗"


@dataclass
class Submission:
    """An archive whose bytes are sound, with what it is compared with.

    Args:
        file: the archive.
        store: holds its records and their evidence, and nothing else.
        records: as its authors exported them, with all that entered their hashes.
        card: what it says of itself; None where it has no such card.
        sources: plugin files that come with it, by name. They are read, never executed.
        plugins: plugin files that the reviewer trusts.
        entropy: what the store of its runs drew keys from.
    """

    file: Path
    store: Store
    records: list[Record]
    card: Card | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)
    plugins: Sequence[Path] = ()
    entropy: str = "plan"

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of its table."""
        return aggregate.rows(self.records, self.evidence)

    @property
    def measured(self) -> list[Record]:
        """The records that hold a result."""
        return [record for record in self.records if record.status == "ok"]

    def evidence(self, record: Record) -> Mapping[str, Any]:
        """The per-image arrays of ``record``, by name."""
        return self.store.evidence(record)


def of_problems(check: str, fine: str, problems: Sequence[str], remedy: str) -> Finding:
    """A finding: ``fine`` where there are no ``problems``, else the first of them and how many more there are."""
    if not problems:
        return Finding(check, True, fine)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Finding(check, False, problems[0] + more, remedy, tuple(problems[1:NAMED]))
