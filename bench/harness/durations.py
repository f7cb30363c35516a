"""How long cells may take: what like ones took in this store, else what they typically take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench import registry
from bench.checkpoints.model_names import parse
from bench.errors import UserError
from bench.forward_cost import multiply_adds
from bench.records import Cell, Record

TYPICAL = {"victim": 20.0, "protected": 25.0, "judged": 3.0, "unlocked": 25.0, "scored": 3.0}
"""Seconds a stage with the miniature networks at 32 pixels, edits apart, from `make demo` on 2 cores; used until the
store knows better."""
EDITS = {"judged": 37.0, "scored": 9.0}
"""Seconds that the edits of a key take on top."""
MINIATURE = 12e6
"""Multiply-adds of an image of `SIDE` pixels through the miniature networks: 10 million for the CNN, 14 for the ViT."""
SIDE = 32


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
        for stage in TYPICAL:
            where = f"{cell.scenario}/{cell.size}/{cell.model}/{cell.replicate}"
            shared = {
                "victim": where,
                "protected": f"{where}/{cell.lock}/{cell.key}",
                "judged": f"{where}/{cell.lock}/{cell.key}",
            }.get(stage)
            if shared is not None and f"{stage}/{shared}" in planned:
                continue
            planned.add(f"{stage}/{shared}")
            total += median(known.get(_like(stage, cell)) or [_typical(stage, cell)])
        out.append(total)
    return out


def _typical(stage: str, cell: Cell) -> float:
    if cell.attack.purpose == "no-attack" and stage in ("unlocked", "scored"):
        return 1.0
    if cell.lock.role == "control" and stage == "protected":
        return 1.0
    edits = EDITS.get(stage, 0.0) if _is_costly(cell) else 0.0
    return TYPICAL[stage] * relative_cost(cell.model, cell.size) + edits


def relative_cost(model: str, size: int) -> float:
    """How much longer an image takes than through the miniature networks, by its multiply-adds; at least 1.

    An architecture that is a plugin is taken for a miniature one, since it is not imported here.
    """
    if registry.current().get("model", parse(model).plugin) is not None:
        return max(1.0, (size / SIDE) ** 2)
    try:
        return max(1.0, multiply_adds(model, size) / MINIATURE)
    except UserError:  # a plan with such a model is refused elsewhere
        return 1.0


def _is_costly(cell: Cell) -> bool:
    key = registry.current().get("key", cell.key.name)
    return key is not None and key.costly


def _like(stage: str, cell: Cell) -> str:
    who = {"victim": "", "protected": cell.lock.name, "judged": ""}.get(stage, cell.attack.name)
    return f"{stage}/{cell.scenario}/{cell.size}/{cell.model}/{who}"
