"""How long a plugin trains: images that its steps see, from its parameters alone."""

from __future__ import annotations

import math

from bench import registry
from bench.params import Param
from bench.records import Cell, PluginRef

STEPS, BATCH = 500, 64
"""Of a victim whose architecture names none, and of what names no batch."""
LEAST = 0.05
"""Of the usual length: what a short stage takes beside its training."""


def seen(ref: PluginRef) -> float:
    """Images of one side that the training of a plugin sees: a batch in each of its steps, in each of its rounds.

    Steps are the parameters with the unit ``steps`` that have an effect. Rounds are those with the unit ``rounds``;
    trials count as rounds where every trial trains.
    """
    info = registry.current().get("lock", ref.name) or registry.current().get("attack", ref.name)
    declared = {} if info is None else info.params
    active = {name: p for name, p in declared.items() if _has_effect(p, ref)}
    steps = sum(int(ref.params[name] or 0) for name, p in active.items() if p.unit == "steps")
    rounds = math.prod(int(ref.params[name] or 1) for name, p in active.items() if p.unit == "rounds")
    trials = int(ref.params.get("trials", 1)) if ref.purpose == "public-baseline" else 1
    return float(steps * rounds * trials * int(ref.params.get("batch") or BATCH))


def relative(kind: str, cell: Cell) -> float:
    """How long the stage ``kind`` of ``cell`` trains, in terms of the same stage with its usual settings."""
    if kind == "victim":
        own = cell.victim_training
        return float(max(LEAST, own.get("steps", STEPS) * own.get("batch", BATCH) / (STEPS * BATCH)))
    ref = {"protected": cell.lock, "unlocked": cell.attack}.get(kind)
    if ref is None:
        return 1.0
    info = registry.current().get("lock" if kind == "protected" else "attack", ref.name)
    if info is None:
        return 1.0
    usual = seen(ref.model_copy(update={"params": {name: p.default for name, p in info.params.items()}}))
    return max(LEAST, seen(ref) / usual) if usual else 1.0


def _has_effect(param: Param, ref: PluginRef) -> bool:
    return all(ref.params.get(name) in values for name, values in param.where.items())
