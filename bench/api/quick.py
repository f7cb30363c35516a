"""The short form of a recipe: its architectures at their size, on a few generated pictures, for two steps.

It says whether a machine can run the recipe before anything is fetched. Its numbers say nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, registry
from bench.paths import data_home
from bench.plan import SuiteLine
from bench.plan.cells import key_method, side_of

CLASSES = ("bars", "blots")
EACH = 12
"""Pictures of a class: each split needs one."""
STEPS, BATCH = 2, 2
SHORT = {"task.victim_steps": STEPS, "task.victim_batch": BATCH}
EDITOR = "miniature"


def pictures(folder: Path, size: int) -> None:
    """Write ``EACH`` PNG files of ``size`` × ``size`` pixels a class into ``folder``, unless they are there."""
    from PIL import Image

    rng = np.random.default_rng(size)
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(EACH):
            pixels = rng.integers(0, 100, (size, size, 3), dtype=np.uint8)
            pixels[size // 4 : size // 2 + k * size // 4, k * size // 4 :: 2 - k] += 120
            if not (file := folder / name / f"{i}.png").exists():
                part = file.with_name(f".{uuid.uuid4().hex}.part")
                Image.fromarray(pixels).save(part, "PNG")
                part.replace(file)  # at once: a run that is killed leaves no half of a picture


def stand_in(lines: Sequence[SuiteLine], absent: Sequence[str], folder: Path) -> tuple[list[SuiteLine], dict[str, str]]:
    """``lines`` with generated pictures in place of data sets that are not here, so that a plan can be counted.

    Args:
        lines: of a recipe.
        absent: single data sets, no pairs.
        folder: where pictures are written.

    Returns:
        The lines, and for each data set that stands in the one whose place it takes.
    """
    places = {name: f"folder:{folder / str(i)}" for i, name in enumerate(absent)}
    for task in places.values():
        pictures(Path(task.removeprefix("folder:")), 32)

    def other(task: str) -> str:
        return ":".join(places.get(side, side) for side in datasets.pair(task) or (task,))

    out = [replace(line, tasks=[other(task) for task in line.tasks]) for line in lines]
    return out, {place: name for name, place in places.items()}


def short(
    lines: Sequence[SuiteLine], editor: str | None = None, params: Mapping[str, Any] | None = None
) -> list[SuiteLine]:
    """``lines`` in their short form, without controls: the first task, the first of what is swept, and one seed.

    The pictures lie beside downloads, in `bench.paths.data_home`.

    Args:
        lines: of a recipe.
        editor: of edit keys; None: the miniature one.
        params: what the recipe sets besides, so that a few pictures are enough.
    """
    return [_short(line, data_home() / "quick", editor or EDITOR, params or {}) for line in lines]


def _short(line: SuiteLine, folder: Path, editor: str, own: Mapping[str, Any]) -> SuiteLine:
    size = side_of(line)
    names = ("source", "target")
    for name in names:
        pictures(folder / f"{name}-{size}", size)
    pair = ":".join(f"folder:{folder / f'{name}-{size}'}" for name in names)
    task = pair if ":" in line.tasks[0] and _is_pair(line) else pair.partition(":folder:")[0]
    params: dict[str, Any] = {**line.params, **{name: values[0] for name, values in line.sweep.items()}, **own}
    params |= SHORT | _steps("lock", line.locks, params) | _steps("attack", line.attacks, params)
    if any("editor" in _key(lock, task, line).params for lock in line.locks):
        params["key.editor"] = editor
    models = [f"{model}{'&' if '?' in model else '?'}start=random" for model in line.models]
    return replace(
        line, tasks=[task], models=models, params=params, sweep={}, replicates=[0], controls=False, public_baseline={}
    )


def _is_pair(line: SuiteLine) -> bool:
    """Whether the line is about pairs of domains; a data set with a part, as ``visda:train``, is none."""
    task = line.tasks[0]
    return datasets.pair(task) is not None or (datasets.source(task) is None and task.count(":") != 1)


def _key(lock: str, task: str, line: SuiteLine) -> Any:
    return key_method(registry.current().find("lock", lock), task, line.params)


def _steps(kind: str, names: Sequence[str], params: Mapping[str, Any]) -> dict[str, int]:
    """Settings that make training short, for whichever of the plugins ``names`` has them, where they have an effect."""
    out = {}
    for name in names:
        declared = registry.current().find(kind, name).params
        for own in declared.values():
            set_otherwise = [
                other
                for other, values in own.where.items()
                if params.get(f"{kind}.{other}", declared[other].default) not in values
            ]
            if set_otherwise:
                continue
            if own.unit in ("steps", "rounds"):
                out[f"{kind}.{own.name}"] = STEPS
            elif own.name == "batch":
                out[f"{kind}.batch"] = BATCH
    return out
