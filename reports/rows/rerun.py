"""The command that makes a record again, from its cell alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from bench import registry
from bench.plan.cells import key_method
from bench.plan.ensemble import CURRENT, ENSEMBLE
from bench.plan.wording import plugins_set, rights_set, text_of
from bench.records import Cell

USUAL_THREADS = 1
USUAL_PRECISION = "float32"


def command_of(
    cell: Cell,
    seeds: Sequence[int] | None = None,
    threads: int = USUAL_THREADS,
    precision: str = USUAL_PRECISION,
) -> str:
    """``bench run …``: planning it gives a cell of the same row key, with the controls that stand beside it.

    Args:
        cell: of a record.
        seeds: replicates that follow one another; without them, the one of ``cell``.
        threads: of each job, 0 where unknown; numbers depend on them, so they are part of a record's identity.
        precision: of training steps; as threads.

    Returns:
        One line for a shell. It leaves out settings that are the attack's own defaults. For an ensemble's row it runs
        the members. A plugin that is not installed comes with ``--plugin FILE.py`` and every setting.
    """
    replicates = sorted(seeds) if seeds else [cell.replicate]
    ensemble = cell.attack.name == ENSEMBLE
    attacks = ["--suite", _list_of(cell)] if ensemble else ["--attack", cell.attack.name]
    words = ["bench", "run", "--lock", cell.lock.name, *attacks]
    words += ["--task", cell.scenario, "--model", cell.model]
    words += ["--seeds", f"{replicates[0]}:{replicates[-1] + 1}"]
    if threads not in (0, USUAL_THREADS):
        words += ["--threads", str(threads)]
    if precision != USUAL_PRECISION:
        words += ["--precision", precision]
    settings: dict[str, Any] = {}
    if cell.key.name != _usual_key(cell):
        settings["lock.key"] = cell.key.name
    settings |= plugins_set(cell, "lock", "key")
    settings |= {} if ensemble else plugins_set(cell, "attack") | rights_set(cell, every=True)
    settings |= cell.task_settings
    for name, value in sorted(settings.items()):
        words += ["-p", f"{name}={text_of(value)}"]
    named = (("lock", cell.lock),) if ensemble else (("lock", cell.lock), ("attack", cell.attack))
    if any(registry.current().get(kind, ref.name) is None for kind, ref in named):
        words += ["--plugin", "FILE.py"]
    return shlex.join(words)


def commands_of(
    cell: Cell, seeds: Sequence[int], threads: int = USUAL_THREADS, precision: str = USUAL_PRECISION
) -> list[str]:
    """One command for each run of ``seeds`` that follow one another."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return [command_of(cell, run, threads, precision) for run in runs]


def _list_of(cell: Cell) -> str:
    version = cell.attack.explicit.get("version")
    return CURRENT if version is None else f"ensemble-v{version}"


def _usual_key(cell: Cell) -> str | None:
    info = registry.current().get("lock", cell.lock.name)
    return None if info is None else key_method(info, cell.scenario, {}).name
