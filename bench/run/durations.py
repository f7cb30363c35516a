"""How long cells may take: what like ones took in this store, else what they typically take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench import registry
from bench.records import Cell, Record

TYPICAL = {"victim": 20.0, "protected": 25.0, "judged": 40.0, "unlocked": 25.0, "scored": 12.0}
"""Seconds a stage, from `make demo` on 2 cores; used until the store knows better."""


def seconds(cells: Sequence[Cell], records: Sequence[Record]) -> list[float]:
    """An estimate for each of ``cells``, assuming that they are run in order and share what can be shared."""
    known: dict[str, list[float]] = {}
    for record in records:
        for stage, spent in record.provenance.seconds.items():
            if spent > 1.0:
                known.setdefault(_like(stage, record.cell), []).append(spent)
    out = []
    planned: set[str] = set()
    for cell in cells:
        total = 0.0
        for stage, typical in TYPICAL.items():
            shared = {
                "victim": f"{cell.scenario}/{cell.model}/{cell.replicate}",
                "protected": f"{cell.scenario}/{cell.model}/{cell.replicate}/{cell.lock}/{cell.key}",
                "judged": f"{cell.scenario}/{cell.model}/{cell.replicate}/{cell.lock}/{cell.key}",
            }.get(stage)
            if shared is not None and f"{stage}/{shared}" in planned:
                continue
            planned.add(f"{stage}/{shared}")
            if cell.attack.purpose == "no-attack" and stage in ("unlocked", "scored"):
                typical = 1.0
            if cell.lock.role == "control" and stage == "protected":
                typical = 1.0
            if not _is_costly(cell) and stage in ("judged", "scored"):
                typical = 3.0
            total += median(known.get(_like(stage, cell), [typical]))
        out.append(total)
    return out


def _is_costly(cell: Cell) -> bool:
    key = registry.current().get("key", cell.key.name)
    return key is not None and key.costly


def _like(stage: str, cell: Cell) -> str:
    who = {"victim": cell.model, "protected": cell.lock.name, "judged": cell.model}.get(stage, cell.attack.name)
    return f"{stage}/{cell.scenario}/{who}"
