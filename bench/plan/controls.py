"""The cells that must stand beside a cell: no attack, the public baseline of its data, the calibration locks.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.plan.cells import key_method, make_cell
from bench.plan.wording import rights
from bench.plugin_source import PluginInfo
from bench.records import Cell
from bench.threat import ThreatModel

RENAMING = {"threat.share": 0.1}
"""Under a pair's key a victim is right on half of the other domain: it takes more than one labelled image a class to
rename its answers."""


def renaming(cell: Cell) -> dict[str, Any]:
    """Fields of the threat model under which the lock that must open does open, where they are not its opener's own."""
    return dict(RENAMING) if registry.current().find("key", cell.key.name).pair else {}


def controls_of(cell: Cell, public_baseline: Mapping[str, Any] | None = None) -> list[tuple[Cell, str]]:
    """The controls of ``cell``, each with the reason why it is there.

    Args:
        public_baseline: parameters of the public baseline, e.g. ``attack.trials``.
    """
    if cell.attack.purpose or cell.lock.role == "control":
        return []
    plugins = registry.current()
    no_lock, closed, opening = (
        plugins.with_purpose("lock", purpose) for purpose in ("victim", "must-not-open", "must-open")
    )
    baseline = plugins.with_purpose("attack", "public-baseline").name
    key = plugins.find("key", cell.key.name)
    same_key = {f"key.{k}": v for k, v in cell.key.explicit.items()} | {"lock.key": cell.key.name}
    beside = _key_beside(cell, key, no_lock, same_key)
    enough = renaming(cell)
    data = cell.threat.data_budget()
    rights_of_data = {f"threat.{k}": v for k, v in data.items()} | _public_models(cell, baseline)
    rights_of_data |= dict(public_baseline or {})
    own = rights(cell.threat, cell.budget) | {f"attack.{k}": v for k, v in cell.attack.explicit.items()}
    # Authorised images are part of the data, and the key decides what they are.
    keyed = same_key if cell.threat.authorised else beside
    wanted: list[tuple[str, str, dict[str, Any], str]] = [
        (no_lock.name, baseline, rights_of_data | keyed, "public baseline"),
        (closed.name, cell.attack.name, own | keyed, "calibration: must not open"),  # beside its own baseline
        (opening.name, opening.opened_by, beside | enough, "calibration: must open"),
    ]
    lock_params = {f"lock.{k}": v for k, v in cell.lock.explicit.items()}
    no_attack = plugins.with_purpose("attack", "no-attack").name
    wanted.append((cell.lock.name, no_attack, lock_params | same_key, "no attack"))
    fields = {**plugins.find("attack", opening.opened_by).defaults, **enough}
    theirs = ThreatModel(**{k[7:]: v for k, v in fields.items() if k.startswith("threat.")}).data_budget()
    if theirs != data:
        also = {f"threat.{k}": v for k, v in theirs.items()} | beside
        wanted.append((no_lock.name, baseline, also, "public baseline"))
    return [
        (make_cell(lock, attack, cell.scenario, cell.model, cell.task_settings | params, cell.replicate), why)
        for lock, attack, params, why in wanted
    ]


def _public_models(cell: Cell, baseline: str) -> dict[str, Any]:
    """The public models that the attack of ``cell`` names and the baseline can use too, such as a CLIP."""
    attack, public = (registry.current().find("attack", name) for name in (cell.attack.name, baseline))
    names = [n for n in attack.assets if n in public.assets and n in cell.attack.explicit]
    return {f"attack.{name}": cell.attack.explicit[name] for name in names}


def _key_beside(cell: Cell, key: PluginInfo, control: PluginInfo, same_key: dict[str, Any]) -> dict[str, Any]:
    """The key of a control: the usual one of the task with the same models, else the very key of the cell."""
    if key.name != key_method(control, cell.scenario, {}).name:
        return same_key
    return {f"key.{name}": value for name, value in cell.key.explicit.items() if name in key.assets}
