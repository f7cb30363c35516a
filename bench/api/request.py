"""What a user asks for, as plans and settings: plugins, devices, lines of a plan. No torch here but for a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import datasets, plan, registry
from bench.checkpoints.model_names import SEGMENTER, with_weights
from bench.errors import UserError
from bench.paths import user_path
from bench.store import code


def listed(names: str | Path | Iterable[Any] | None) -> tuple[Any, ...]:
    """One name, several, or none, as several."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str | Path) else tuple(names)


def plugins(files: str | Path | Iterable[str | Path], suite: str | None = None) -> tuple[tuple[str, ...], list[str]]:
    """Full paths of plugin files and of those that ``suite`` names, each once, and warnings about them.

    This process knows their plugins from now on.

    Raises:
        UserError: no such suite, or a path that cannot be one.
    """
    code.forget()
    named = [*(plan.suite_plugins(suite) if suite is not None else ()), *listed(files)]
    known = registry.use(dict.fromkeys(str(user_path(file).resolve()) for file in named), run_guests=False)
    return known.files, list(known.warnings())


def lines_of(
    names: Mapping[str, Sequence[str] | None],
    seeds: str | None,
    suite: str | None,
    params: Sequence[str] | None,
    editor: str | None = None,
    sweeps: Sequence[str] | None = None,
    weights: str | None = None,
) -> list[plan.SuiteLine]:
    """What a command asks for: the lines of a suite, narrowed and with more parameters, or one line of its own.

    Args:
        names: locks, attacks, tasks and models that the command names.
        weights: the public weights of each model, in place of those that it has by itself.
    """
    values = plan.parse_params([*(params or []), *([f"key.editor={editor}"] if editor else [])])
    swept = plan.parse_sweeps(sweeps or [])
    if both := sorted(values.keys() & swept.keys()):
        raise UserError(f"{both[0]} is both set (-p) and swept (--sweep).", "Leave one of the two out.")
    if suite is None:
        line = plan.SuiteLine(**chosen_of(names), params=values, sweep=swept, replicates=plan.parse_seeds(seeds or "1"))
        return [_with_weights(line, weights)]
    replicates = None if seeds is None else plan.parse_seeds(seeds)
    lines = plan.suite_lines(suite, names, replicates)
    changed = [
        replace(
            line,
            params={k: v for k, v in {**line.params, **values}.items() if k not in swept},
            sweep={k: v for k, v in {**line.sweep, **swept}.items() if k not in values},
        )
        for line in lines
    ]
    return [_with_weights(line, weights) for line in changed]


def _with_weights(line: plan.SuiteLine, weights: str | None) -> plan.SuiteLine:
    """``line`` with each of its models starting from ``weights``, where they are named."""
    if weights is None:
        return line
    if not weights.strip():
        raise UserError("--weights names nothing.", "Give a file, a name, or none.")
    return replace(line, models=[with_weights(model, weights) for model in line.models])


def chosen_of(names: Mapping[str, Sequence[str] | None]) -> dict[str, Any]:
    """``names`` with the usual locks, attacks, tasks and models where a command names none."""
    chosen: dict[str, Any] = {kind: wanted or plan.DEFAULTS[kind] for kind, wanted in names.items()}
    if not names.get("models") and {datasets.kind(task) for task in chosen["tasks"]} == {"segmentation"}:
        chosen["models"] = [SEGMENTER]
    return chosen


def device_of(name: str) -> str:
    """The kind of device that ``name`` stands for: ``cpu`` or ``cuda``; which card is a matter of `cards_of`.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or ``cuda:N,M`` for several cards.

    Raises:
        UserError: no such device.
    """
    if name == "cpu":
        return "cpu"
    if name != "auto" and re.fullmatch(r"cuda(:[0-9]{1,3}(,[0-9]{1,3})*)?", name) is None:
        raise UserError(f"--device {name} is not allowed.", "Use auto, cpu, cuda, cuda:N, or cuda:N,M.")
    if name == "auto" and not any(any(Path("/dev").glob(node)) for node in ("nvidia[0-9]*", "dxg")):
        return "cpu"  # known without torch, which takes seconds to import
    import torch

    if torch.cuda.is_available() and max(cards_of(name)) < torch.cuda.device_count():
        return "cuda"
    if name == "auto":
        return "cpu"
    raise UserError(f"--device {name}: torch sees no such device.", "Use --device cpu.")


def cards_of(name: str) -> tuple[int, ...]:
    """The numbers of the cards in a name that `device_of` takes, each once: the first card where it has none."""
    numbers = name.partition(":")[2]
    return tuple(dict.fromkeys(int(number) for number in numbers.split(","))) if numbers else (0,)


NOTHING = "none of these attacks can run there: they speak to another key, or the view lacks what they need."
OTHERS = "Ask for others: `bench list`, `bench show NAME`."
