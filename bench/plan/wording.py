"""What was set of a cell, named and written as the command line takes it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bench import registry
from bench.records import Cell
from bench.threat import Budget, ThreatModel


def plugins_set(cell: Cell, *groups: Literal["lock", "key", "attack"]) -> dict[str, Any]:
    """What was set of the cell's plugins of ``groups``: ``{"lock.steps": 60, "key.alpha": 0.3}``."""
    refs = {"lock": cell.lock, "key": cell.key, "attack": cell.attack}
    return {f"{group}.{name}": value for group in groups for name, value in refs[group].explicit.items()}


def rights_set(cell: Cell, every: bool = False) -> dict[str, Any]:
    """What the cell's threat model and budget have that the attack does not have where a user sets nothing.

    Args:
        every: for an attack that is not installed, every field; else those that no attack has by default.
    """
    general = rights(ThreatModel(), Budget())
    info = registry.current().get("attack", cell.attack.name)
    own = {} if info is None else dict(info.defaults)
    usual = {} if info is None and every else general | own
    return {
        name: value
        for name, value in rights(cell.threat, cell.budget).items()
        if name not in usual or usual[name] != value
    }


def rights(threat: ThreatModel, budget: Budget) -> dict[str, Any]:
    """Fields of a threat model and of a budget under the names of the command line."""
    return {f"threat.{k}": v for k, v in threat.values().items()} | {
        f"budget.{k}": v for k, v in budget.values().items()
    }


def settings_of(values: Mapping[str, Any]) -> list[str]:
    """``NAME=VALUE`` for each of ``values``, as the command line takes it."""
    return [f"{name}={text_of(value)}" for name, value in values.items()]


def in_short(cell: Cell) -> str:
    """A cell in one line, with what was set of it."""
    chosen = settings_of({**plugins_set(cell, "lock", "key", "attack"), **rights_set(cell), **cell.task_settings})
    extra = f" [{', '.join(chosen)}]" if chosen else ""
    return f"{cell.scenario} · {cell.model} · {cell.lock.name} × {cell.attack.name}{extra} · seed {cell.replicate}"


def text_of(value: Any) -> str:
    """``value`` as the command line reads it, with all its digits."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
