"""What was set of a cell, named and written as the command line takes it. No torch here.

Cells of two row keys are never written alike, and a cell is written alike whether its plugins are installed or not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from bench import registry
from bench.legible import quoted, shortened
from bench.records import EDITOR, Cell, PluginRef
from bench.threat import Budget, ThreatModel

LONGEST_NAME, LONGEST_VALUE = 200, 120
"""Characters after which a name or a value is cut, with a digest of the whole behind it."""
_LITERALS = ("true", "false")


def plugins_set(cell: Cell, *groups: Literal["lock", "key", "attack"]) -> dict[str, Any]:
    """What was set of the cell's plugins of ``groups``: ``{"lock.steps": 60, "key.alpha": 0.3}``.

    The editor of a key counts as set wherever it is not the usual one.
    """
    explicit = {"lock": cell.lock.explicit, "key": key_set(cell), "attack": cell.attack.explicit}
    return {f"{group}.{name}": value for group in groups for name, value in explicit[group].items()}


def key_set(cell: Cell) -> dict[str, Any]:
    """What was set of the cell's key, its editor where it is not the usual one."""
    own = {name: value for name, value in cell.key.explicit.items() if name != "editor"}
    return own if cell.editor == EDITOR else {**own, "editor": cell.editor}


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


def unusual_rights(threat: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, Any]:
    """What a threat model and a budget have that an attack without defaults of its own does not have.

    This needs no plugin: an attack reads the same where it is installed and where it is not.
    """
    values = {f"threat.{k}": v for k, v in threat.items()} | {f"budget.{k}": v for k, v in budget.items()}
    general = rights(ThreatModel(), Budget())
    return {name: value for name, value in values.items() if name not in general or general[name] != value}


def settings_of(values: Mapping[str, Any]) -> list[str]:
    """``NAME=VALUE`` for each of ``values``, for a reader."""
    return [f"{quoted(name)}={value_text(value)}" for name, value in values.items()]


def in_short(cell: Cell) -> str:
    """A cell in one line, with its key and all that was set of it."""
    own = plugins_set(cell, "lock", "key", "attack")
    chosen = settings_of({**own, **unusual_rights(cell.threat.values(), cell.budget.values()), **cell.task_settings})
    extra = f" [{', '.join(chosen)}]" if chosen else ""
    place = f"{name_text(cell.scenario)} · {name_text(cell.model_name)}"
    plugins = f"{with_key(name_text(cell.lock.name), name_text(cell.key.name))} × {name_text(cell.attack.name)}"
    return f"{place} · {plugins}{extra} · seed {cell.replicate}"


def with_key(lock: str, key: str) -> str:
    """``modellock (edit)``: a lock and the key it was made for, by name or by label."""
    return f"{lock} (no key)" if key == "none" else f"{lock} ({key})"


def label(ref: PluginRef, **more: Any) -> str:
    """A plugin's name with the parameters that were set: ``modellock[decoys=fixed]``."""
    return bracketed(ref.name, {**ref.explicit, **more})


def key_label(cell: Cell) -> str:
    """The name of the cell's key with what was set of it."""
    return bracketed(cell.key.name, key_set(cell))


def scenario_label(cell: Cell) -> str:
    """The scenario's name with the task settings that were set."""
    return bracketed(cell.name, cell.task_settings)


def bracketed(name: str, settings: Mapping[str, Any]) -> str:
    """``NAME[SETTING=VALUE,…]``, settings by name."""
    inside = ",".join(settings_of(dict(sorted(settings.items()))))
    return f"{name_text(name)}[{inside}]" if inside else name_text(name)


def name_text(name: str) -> str:
    """A name for a reader: in quotes where it could be mistaken for more than a name, cut where it is endless."""
    return shortened(quoted(name), LONGEST_NAME)


def value_text(value: Any) -> str:
    """A parameter's value for a reader: ``true``, ``0.1``; two values never read alike."""
    if isinstance(value, str):
        text = quoted(value)
        text = json.dumps(value) if text == value and _is_literal(value) else text
    elif isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    elif isinstance(value, list | tuple | dict):
        text = quoted(json.dumps(value, sort_keys=True, default=repr))
    else:
        text = text_of(value)
    return shortened(text, LONGEST_VALUE)


def _is_literal(text: str) -> bool:
    """Whether ``text`` would be read as something else than a string."""
    try:
        float(text)
    except ValueError:
        return text.lower() in _LITERALS
    return True


def text_of(value: Any) -> str:
    """``value`` as the command line reads it, with all its digits."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
