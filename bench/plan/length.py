"""How long a plugin trains: images that its steps see, from its parameters alone."""

from __future__ import annotations

import math

from bench import registry
from bench.checkpoints.model_names import parse
from bench.records import Cell, PluginRef

STEPS, BATCH = 500, 64
"""Of a victim whose architecture names none, and of what names no batch."""
LEAST = 0.05
"""Of the usual length: what a short stage takes beside its training."""


def victim_images(cell: Cell) -> float:
    """Images that the training of the victim of ``cell`` sees: a batch in each of its steps."""
    own = cell.victim_training
    return float(own.get("steps", _own_steps(cell.model)) * own.get("batch", BATCH))


def _own_steps(model: str) -> int:
    """Steps of a victim of the architecture ``model`` where a user sets none; no plugin is imported."""
    parsed = parse(model)
    info = None if parsed.segments else registry.current().get("model", parsed.plugin)
    return STEPS if info is None else info.steps


def images_seen(kind: str, ref: PluginRef) -> float:
    """Images of one side that the training of a plugin sees: a batch in each of its steps, in each of its rounds.

    Args:
        kind: ``lock`` or ``attack``: one of each may have the same name.
        ref: the plugin with its parameters.

    Steps are the parameters with the unit ``steps`` that have an effect. Rounds are those with the unit ``rounds``;
    trials count as rounds where every trial trains.
    """
    info = registry.current().get(kind, ref.name)
    declared = {} if info is None else info.params
    active = {name: p for name, p in declared.items() if p.has_effect(ref.params)}
    steps = sum(int(ref.params[name] or 0) for name, p in active.items() if p.unit == "steps")
    rounds = math.prod(int(ref.params[name] or 1) for name, p in active.items() if p.unit == "rounds")
    trials = int(ref.params.get("trials", 1)) if ref.purpose == "public-baseline" else 1
    return float(steps * rounds * trials * int(ref.params.get("batch") or BATCH))


def relative(kind: str, cell: Cell) -> float:
    """How long the stage ``kind`` of ``cell`` trains, in terms of the same stage with its usual settings."""
    if kind == "victim":
        return max(LEAST, victim_images(cell) / (_own_steps(cell.model) * BATCH))
    stages = {"protected": ("lock", cell.lock), "unlocked": ("attack", cell.attack)}
    if kind not in stages:
        return 1.0
    plugin, ref = stages[kind]
    info = registry.current().get(plugin, ref.name)
    if info is None:
        return 1.0
    usual = images_seen(plugin, ref.model_copy(update={"params": {n: p.default for n, p in info.params.items()}}))
    return max(LEAST, images_seen(plugin, ref) / usual) if usual else 1.0
