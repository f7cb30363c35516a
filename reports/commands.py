"""The command that makes a record again, from its cell alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench import datasets, registry
from bench.ensemble import CURRENT, ENSEMBLE
from bench.errors import UserError
from bench.records import Cell
from bench.threat import Budget, ThreatModel

USUAL_EDITOR = "miniature"
USUAL_THREADS = 2


def command_of(cell: Cell, seeds: Sequence[int] | None = None, threads: int = USUAL_THREADS) -> str:
    """``bench run …``: planning it gives a cell of the same row key, with the controls that stand beside it.

    Args:
        cell: of a record.
        seeds: replicates that follow one another; without them, the one of ``cell``.
        threads: of the workers; numbers depend on them in the last digits.

    Returns:
        One line for a shell; for an ensemble's row the one that runs its members. Settings that are the
        attack's own defaults are left out; a plugin that is not installed here is asked for with ``--plugin FILE.py``,
        and then every setting is written out.
    """
    wanted = sorted(seeds) if seeds else [cell.replicate]
    ensemble = cell.attack.name == ENSEMBLE
    asked = ["--suite", CURRENT] if ensemble else ["--attack", cell.attack.name]
    words = ["bench", "run", "--lock", cell.lock.name, *asked]
    words += ["--task", cell.scenario, "--model", cell.model]
    if cell.editor != USUAL_EDITOR:
        words += ["--editor", cell.editor]
    words += ["--seeds", f"{wanted[0]}:{wanted[-1] + 1}"]
    if threads not in (0, USUAL_THREADS):
        words += ["--threads", str(threads)]
    settings: dict[str, Any] = {}
    if cell.key.name != _usual_key(cell):
        settings["lock.key"] = cell.key.name
    for group, ref in (("lock", cell.lock), ("key", cell.key), ("attack", cell.attack)):
        if group != "attack" or not ensemble:
            settings |= {f"{group}.{name}": value for name, value in ref.explicit.items()}
    usual = _usual_rights(cell)
    for group, fields in () if ensemble else (("threat", cell.threat), ("budget", cell.budget)):
        for name, value in fields.items():
            if f"{group}.{name}" not in usual or usual[f"{group}.{name}"] != value:
                settings[f"{group}.{name}"] = value
    settings |= cell.explicit
    for name, value in sorted(settings.items()):
        words += ["-p", f"{name}={_written(value)}"]
    named = (("lock", cell.lock),) if ensemble else (("lock", cell.lock), ("attack", cell.attack))
    if any(installed(kind, ref.name) is None for kind, ref in named):
        words += ["--plugin", "FILE.py"]
    return shlex.join(words)


def commands_of(cell: Cell, seeds: Sequence[int], threads: int = USUAL_THREADS) -> list[str]:
    """One command for each run of ``seeds`` that follow one another."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return [command_of(cell, run, threads) for run in runs]


def installed(kind: str, name: str) -> registry.PluginInfo | None:
    """What the installed plugin of that name says of itself, None where there is none."""
    try:
        return registry.find(kind, name)
    except UserError:
        return None


def _usual_key(cell: Cell) -> str | None:
    if datasets.pair(cell.scenario) is not None:
        return "domain"
    info = installed("lock", cell.lock.name)
    return None if info is None else info.key


def _usual_rights(cell: Cell) -> Mapping[str, Any]:
    """Threat model and budget that the attack gets where nothing is set."""
    info = installed("attack", cell.attack.name)
    if info is None:
        return {}
    general = {f"threat.{k}": v for k, v in ThreatModel().values().items()}
    general |= {f"budget.{k}": v for k, v in Budget().values().items()}
    return general | dict(info.defaults)


def _written(value: Any) -> str:
    """``value`` as the command line reads it, with all its digits."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
