"""What a recipe needs before it runs: data sets, public weights, editors, and what of them is on this machine.

Nothing is fetched, and nobody is asked: a run says what cannot be had, as `bench run` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench import datasets, registry
from bench.checkpoints.model_names import parse
from bench.editors.loading import is_here
from bench.errors import UserError
from bench.forward_cost import parameters
from bench.paths import data_home
from bench.plan.recipe import Recipe
from bench.plan.suites import SuiteLine
from bench.public_weights import hub_place, in_cache

EDITOR_PARAMETERS = 1_066_246_827
"""Of the full-size InstructPix2Pix: denoiser, autoencoder and text encoder, as `tests/benchmarks/full_editor.py` counts
them."""


@dataclass(frozen=True)
class Need:
    """One thing that a recipe needs.

    Args:
        kind: ``data``, ``weights`` or ``editor``.
        name: as a suite names it.
        state: ``here``, ``to fetch``: a run or its owner fetches it, or ``no plugin``: this version has none of it.
        size: 10^6 bytes by its parameters in float32; None where not known.
        remark: what is to be done.
    """

    kind: Literal["data", "weights", "editor"]
    name: str
    state: Literal["here", "to fetch", "no plugin"]
    size: float | None = None
    remark: str = ""


def of_recipe(recipe: Recipe, lines: Sequence[SuiteLine]) -> list[Need]:
    """What the recipe needs: the data sets that it names, and the weights and editors of its lines.

    Args:
        recipe: with its data sets.
        lines: of its file; no data set of theirs need be known.
    """
    editors = dict.fromkeys(str(line.params["key.editor"]) for line in lines if "key.editor" in line.params)
    models = dict.fromkeys((model, int(line.params.get("task.size", 32))) for line in lines for model in line.models)
    out = [_data(name) for name in recipe.images]
    out += [_weights(model, size) for model, size in models]
    return out + [_editor(name) for name in editors]


def missing(tasks: Iterable[str]) -> dict[str, str]:
    """Those of ``tasks`` whose data cannot be looked for, each with the reason."""
    out = {}
    for task in tasks:
        try:
            datasets.check(task)
        except UserError as error:
            out[task] = f"{error.message} {error.remedy or ''}".strip()
    return out


def _data(name: str) -> Need:
    info = datasets.source(name)
    if info is None:
        return Need("data", name, "no plugin", remark=f"this version has no data set '{name.partition(':')[0]}'")
    if info.prefix:
        found = datasets.folder_path(name).is_dir()
        return Need("data", name, "here" if found else "to fetch", remark="" if found else "put the folder there")
    if "fetched" not in info.summary:
        return Need("data", name, "here")
    place = data_home() / info.name
    found = place.is_dir() and any(place.iterdir())
    return Need("data", name, "here" if found else "to fetch", remark="" if found else f"a run fetches it to {place}")


def _weights(model: str, size: int) -> Need:
    parsed = parse(model)
    if parsed.start == "random" or registry.current().get("model", parsed.base) is not None:
        return Need("weights", model, "here")
    bytes_ = 4e-6 * parameters(model, size)
    place = hub_place(parsed)
    if place is None:
        return Need("weights", model, "to fetch", bytes_, "a run fetches it")
    found = in_cache(place)
    return Need("weights", model, "here" if found else "to fetch", bytes_, "" if found else f"hf download {place}")


def _editor(name: str) -> Need:
    if is_here(name):
        return Need("editor", name, "here")
    return Need("editor", name, "to fetch", 4e-6 * EDITOR_PARAMETERS, f"hf download {name}")
