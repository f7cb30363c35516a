"""What was set of a cell, named and written as the command line takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from bench import registry
from bench.errors import UserError
from bench.threat import Budget, ThreatModel

if TYPE_CHECKING:
    from bench.records import Cell


def plugins_set(cell: Cell, *groups: Literal["lock", "key", "attack"]) -> dict[str, Any]:
    """What was set of the cell's plugins of ``groups``: ``{"lock.steps": 60, "key.alpha": 0.3}``."""
    refs = {"lock": cell.lock, "key": cell.key, "attack": cell.attack}
    return {f"{group}.{name}": value for group in groups for name, value in refs[group].explicit.items()}


def rights_set(cell: Cell, every: bool = False) -> dict[str, Any]:
    """What the cell's threat model and budget have that the attack does not have where nothing is set.

    Args:
        every: of an attack that is not installed, every field; else those that no attack has by default.
    """
    general = rights(ThreatModel().values(), Budget().values())
    info = installed("attack", cell.attack.name)
    own = {} if info is None else dict(info.defaults)
    usual: Mapping[str, Any] = {} if info is None and every else general | own
    held = rights(cell.threat, cell.budget)
    return {name: value for name, value in held.items() if name not in usual or usual[name] != value}


def rights(threat: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a threat model and of a budget under the names of the command line."""
    return {f"threat.{k}": v for k, v in threat.items()} | {f"budget.{k}": v for k, v in budget.items()}


def installed(kind: str, name: str) -> registry.PluginInfo | None:
    """What the installed plugin of that name says of itself, None where there is none."""
    try:
        return registry.find(kind, name)
    except UserError:
        return None


def written(value: Any) -> str:
    """``value`` as the command line reads it, with all its digits."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
