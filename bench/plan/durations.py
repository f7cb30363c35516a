"""How long a stage may take, and how much memory: what like ones took in this store, else what they typically take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench import registry
from bench.checkpoints.model_names import parse
from bench.errors import UserError
from bench.forward_cost import multiply_adds
from bench.plan import length
from bench.records import Cell, Record

TYPICAL = {"victim": 20.0, "protected": 25.0, "judged": 3.0, "unlocked": 25.0, "scored": 3.0, "conditions": 2.0}
"""Seconds a stage with the miniature networks at 32 pixels, edits apart, from `make demo` on 2 cores; used until the
store knows better."""
EDITS = {"judged": 37.0, "scored": 9.0, "conditions": 30.0}
"""Seconds that the edits of a key take on top."""
MINIATURE = 12e6
"""Multiply-adds of an image of `SIDE` pixels through the miniature networks: 10 million for the CNN, 14 for the ViT."""
SIDE = 32
BATCH = 64
"""Images of a training step, as `bench.contracts.Run.fit` has them."""
CONTEXT = 0.8
"""10^9 bytes that a process takes before it trains: libraries, and kernels on a GPU."""
BYTES_PER_MULTIPLY_ADD = 0.016
"""Bytes of activations and their gradients for each multiply-add of an image; on no GPU measured yet."""
FULL_EDITOR = 8.0
"""10^9 bytes of a full-size editor in half precision, with its activations."""


class Durations:
    """Estimates of seconds and memory.

    Args:
        records: of the store; the seconds that their stages took are what like ones are expected to take.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        known: dict[str, list[float]] = {}
        for record in records:
            for kind, spent in record.provenance.seconds.items():
                if spent > 1.0:  # older records have the time of reading a stage that was there already
                    usual = spent / length.relative(kind, record.cell)
                    known.setdefault(_like(kind, record.cell), []).append(usual)
        self._known = {like: median(spent) for like, spent in known.items()}

    def seconds(self, kind: str, cell: Cell) -> float:
        """Wall seconds of the stage ``kind`` of ``cell``."""
        known = self._known.get(_like(kind, cell))
        if known is None:
            return _typical(kind, cell)
        return known * length.relative(kind, cell)


def gigabytes(cell: Cell) -> float:
    """10^9 bytes that a stage of ``cell`` takes on its device, roughly: to place stages, not to limit them."""
    editor = FULL_EDITOR if _is_costly(cell) and cell.editor not in ("miniature", "") else 0.0
    activations = BATCH * MINIATURE * relative_cost(cell.model, cell.size) * BYTES_PER_MULTIPLY_ADD / 1e9
    return round(CONTEXT + activations + editor, 3)


def _typical(kind: str, cell: Cell) -> float:
    if kind not in TYPICAL:
        return 1.0
    if cell.attack.purpose == "no-attack" and kind in ("unlocked", "scored"):
        return 1.0
    if cell.lock.role == "control" and kind == "protected":
        return 1.0
    edits = EDITS.get(kind, 0.0) if _is_costly(cell) else 0.0
    return TYPICAL[kind] * relative_cost(cell.model, cell.size) * length.relative(kind, cell) + edits


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


def _like(kind: str, cell: Cell) -> str:
    by_lock = {"victim": "", "key": cell.key.name, "protected": cell.lock.name, "judged": "", "conditions": ""}
    return f"{kind}/{cell.scenario}/{cell.size}/{cell.model_name}/{by_lock.get(kind, cell.attack.name)}"
