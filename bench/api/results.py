"""What a run measured: a table for people, a table for programs, the worst case of each lock, a report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records import Record

if TYPE_CHECKING:
    import pandas as pd

    from reports.rows.row import Row

NUMBERS = ("UP", "LP", "RP", "oracle", "public_baseline", "advantage", "recovery", "floor")
"""Columns of a table of results; each but the last has an interval beside it."""


class Results:
    """Records with their rows.

    A row is one lock against one attack under one threat model, over all seeds, with its controls. In a notebook it
    shows as a table.

    Args:
        records: what was measured, controls included.
        store: the folder that has them and the evidence behind them.
    """

    def __init__(self, records: Sequence[Record], store: str | Path) -> None:
        self.records, self.store = list(records), Path(store)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows, in the order of a report."""
        from bench.store import Store
        from reports.rows import aggregate

        return aggregate.rows(self.records, Store(self.store, write=False).evidence)

    def table(self, controls: bool = False) -> pd.DataFrame:
        """One line a row: names, numbers with the ends of their 95 % intervals, verdict, flags.

        Args:
            controls: whether control rows are in it.

        Returns:
            Accuracies in percent, recovery a fraction. What was not measured, or may not be shown, is missing.
        """
        import pandas as pd

        return pd.DataFrame([_line(row) for row in self.rows if controls or row.role != "control"], columns=COLUMNS)

    def worst(self) -> pd.DataFrame:
        """Of each lock the row of the attack that opens it furthest; columns as in `table`."""
        import pandas as pd

        from reports.rows.worst import worst

        places: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            if row.role != "control":
                places.setdefault(row.place, []).append(row)
        strongest = [worst(pool) for pool in places.values()]
        return pd.DataFrame([_line(row) for row in strongest if row is not None], columns=COLUMNS)

    def report(self, folder: str | Path) -> Path:
        """Write a page that opens from disk; its path.

        Raises:
            UserError: the folder cannot be written.
        """
        from bench.store import Store
        from reports.page import site

        keys = {row.row_key for row in self.rows}

        def keep(rows: Sequence[Row]) -> list[Row]:
            return [row for row in rows if row.row_key in keys]

        return Path(site.write(Store(self.store, write=False), Path(folder), keep))

    def __repr__(self) -> str:
        rows = [row for row in self.rows if row.role != "control"]
        return f"Results({len(rows)} rows, {len(self.records)} records, store={str(self.store)!r})"

    def _repr_html_(self) -> str:
        shown = ["scenario", "model", "lock", "attack", "UP", "LP", "RP", "public_baseline", "verdict"]
        html: str = self.table()[shown].to_html(index=False, float_format="{:.1f}".format, na_rep="—")
        return html


def _line(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {
        "scenario": row.scenario, "model": row.model, "lock": row.lock, "key": row.key, "attack": row.attack,
        "access": row.threat.get("access"), "share": row.threat.get("share"), "seeds": len(row.seeds),
    }  # fmt: skip
    for name in NUMBERS:
        value = row.values[name]
        line[name] = None if value is None else value.mean
        if name != "floor":
            line[f"{name}_low"], line[f"{name}_high"] = (None, None) if value is None else (value.low, value.high)
    return line | {"verdict": row.verdict, "flags": list(row.flags), "row_key": row.row_key}


COLUMNS = [
    "scenario", "model", "lock", "key", "attack", "access", "share", "seeds",
    *(f"{name}{end}" for name in NUMBERS for end in (("",) if name == "floor" else ("", "_low", "_high"))),
    "verdict", "flags", "row_key",
]  # fmt: skip
"""Columns of a table of results, in order."""
