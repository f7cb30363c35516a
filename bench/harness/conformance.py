"""Conformance of a plugin outside the project: one small cell of it, measured twice in stores of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, models, plan, registry
from bench.checkpoints.model_names import SEGMENTER
from bench.contracts import DefenderNeeds, Images, Spec
from bench.errors import UserError
from bench.guests import questions, subjects
from bench.guests.failure import GuestFailed, InvalidResult
from bench.guests.remote_key import RemoteKey
from bench.harness import key_process
from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.judge import Evidence
from bench.harness.views import DefenderView
from bench.plugin_source import PluginInfo
from bench.records import Cell, Record
from bench.store.settings import Settings
from bench.store.store import Store

TASK, SEGMENTED, MODEL, SIZE, FEW = "shapes", "shapes-seg", "cnn", 16, 40
EDIT = {"key.key_choice": "fixed", "key.steps": 1}
LEAST = 10
"""Fewest images of a class."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what.
        ok: whether it is as it must be.
        detail: what is wrong, or what was seen.
    """

    name: str
    ok: bool
    detail: str = ""


def check(info: PluginInfo, files: tuple[str, ...]) -> Iterator[Check]:
    """What of the contract the plugin ``info`` keeps, one check after another; it ends with the first that fails.

    Args:
        files: plugin files that the run knows, its own among them.
    """
    yield Check("its source can be read", True, f"{info.kind} {info.name}, {len(info.params)} parameters")
    yield Check("it says what it is", bool(info.summary), info.summary or "give the class a docstring")
    if not info.summary:
        return
    for name, work in (("what it declares is whole", _declared), ("it can be imported", _imported)):
        wrong = _wrong(info, work)
        yield Check(name, not wrong, wrong)
        if wrong:
            return
    own = {"key": _key, "task": _task, "model": _model}.get(info.kind)
    if own is not None:
        wrong = _wrong(info, own)
        yield Check(f"the {info.kind} is what its contract says", not wrong, wrong)
        if wrong:
            return
    try:
        cell = small_cell(info)
    except UserError as error:
        yield Check("its quick parameters are allowed", False, str(error))
        return
    yield Check(
        "its quick parameters are allowed", True, ", ".join(f"{k}={v}" for k, v in info.quick.items()) or "none"
    )
    try:
        plan.check([cell])
        plan.check_accepts([plan.Planned(cell, "check")])
    except UserError as error:
        yield Check("it can be planned", False, str(error))
        return
    yield Check("it can be planned", True)
    first, evidence = _measured(cell, files)
    yield Check("a small cell is measured", first.status == "ok", first.error or "status ok")
    if first.status != "ok":
        return
    second, again = _measured(cell, files)
    same = second.status == "ok" and set(evidence) == set(again)
    same = same and all(np.array_equal(evidence[name], again[name]) for name in evidence)
    yield Check("the same seeds give the same answers", same, "" if same else "draw from run.rng alone")


def _wrong(info: PluginInfo, work: Callable[[PluginInfo], str]) -> str:
    """What ``work`` finds wrong with the plugin, or how it fails; empty where it is as it must be."""
    try:
        return work(info)
    except (UserError, GuestFailed, InvalidResult) as error:
        return str(error)


def _declared(info: PluginInfo) -> str:
    if not info.paper and info.role == "method":
        return 'it names no paper: write paper = "authors, title, venue, identifier", or "ours"'
    for param in info.params.values():
        if not param.help.strip():
            return f"the parameter {param.name} has no meaning: give param() a second argument"
    registry.check_params(info, info.quick)
    return ""


def _imported(info: PluginInfo) -> str:
    made, known = questions.values(info), {name: param.default for name, param in info.params.items()}
    differ = sorted(name for name in {*made, *known} if made.get(name) != known.get(name))
    return f"parameters are not what its source says: {', '.join(differ)}" if differ else ""


def _key(info: PluginInfo) -> str:
    """Whether the key is the same once it has been written and read, and where its parameters and seed are."""
    data = datasets.load(TASK, size=SIZE)
    few = Images(data.images[:FEW], data.labels[:FEW])
    task = Spec(SIZE, data.classes)
    settings = Settings(threads=1, plugin_files=registry.current().files)

    def make() -> dict[str, Any]:
        view = DefenderView(
            task, few, few, None, DefenderNeeds(raw=True), lambda extra: models.build(MODEL, task, extra)
        )
        return key_process.make(info, info.quick, view, 0, MODEL, settings, lambda *_: None)

    value = make()
    if value.get("method") != info.name:
        return f"to_json() names the method '{value.get('method')}', not '{info.name}'"
    key = RemoteKey(info, value)
    if key.to_json() != value:
        return "from_json() makes another key than the one that to_json() wrote"
    for condition in key.conditions(0):
        condition.key(few.images[:2])
    return "" if make() == value else "the same seed gives another key: draw from run.rng alone"


def _task(info: PluginInfo) -> str:
    """Whether every class has images enough for every split."""
    if info.prefix:
        return ""
    data = datasets.load(info.name, size=SIZE)
    if data.kind not in info.tasks:
        return f"its data are for {data.kind}: write tasks = ({data.kind!r},)"
    if data.kind == "segmentation" and data.masks is not None:
        counts = [int((data.masks == label).flatten(1).any(1).sum()) for label in range(len(data.classes))]
    else:
        counts = data.labels.bincount(minlength=len(data.classes)).tolist()
    few = [name for name, n in zip(data.classes, counts, strict=True) if n < LEAST]
    return f"fewer than {LEAST} images of {', '.join(few)}: every split must hold every class" if few else ""


def _model(info: PluginInfo) -> str:
    """Whether the architecture has the outputs that are asked for."""
    data = datasets.load(_task_of(info), size=SIZE)
    for extra, public in ((0, True), (2, False)):
        spec, state = questions.built(info, Spec(SIZE, data.classes, data.kind), extra, public, 0)
        model = subjects.model(spec, state, "cpu", True, f"model {info.name}")
        try:
            if (model.k, model.extra) != (len(data.classes), extra):
                wanted = f"{len(data.classes)} classes and {extra} more outputs"
                return f"asked for {wanted}, it has {model.k} and {model.extra}"
            model.outputs(data.images[:2].float() / 255)
        finally:
            model.close()
    return ""


def _task_of(info: PluginInfo) -> str:
    """The small task that suits the plugin ``info``."""
    return TASK if "classification" in info.tasks else SEGMENTED


def small_cell(info: PluginInfo) -> Cell:
    """A small cell that runs the plugin ``info`` with its quick parameters.

    Raises:
        UserError: a parameter that is not allowed.
    """
    chosen: dict[str, Any] = {f"{info.kind}.{name}": value for name, value in info.quick.items()}
    model = MODEL if "classification" in info.tasks else SEGMENTER
    names = {"lock": "none", "attack": "none", "task": _task_of(info), "model": model} | {info.kind: info.name}
    params: Mapping[str, Any] = {"task.size": SIZE, **chosen}
    if info.kind not in ("model", "task"):  # what the victim knows is not looked at
        params = {"task.victim_steps": 60, **params}
    if info.kind == "key":
        params = {**params, "lock.key": info.name}
    elif info.kind == "editor":
        params = {**params, "lock.key": "edit", "key.editor": info.name}
    elif info.kind != "lock":
        params = {**params, "lock.key": "none"}
    elif info.key == "edit":  # an edit in as few steps as there can be: what the lock does with it is looked at
        params = {**EDIT, **params}
    return plan.make_cell(names["lock"], names["attack"], names["task"], names["model"], params)


def _measured(cell: Cell, files: tuple[str, ...]) -> tuple[Record, Evidence]:
    with tempfile.TemporaryDirectory(prefix="lockbench-check-") as folder:
        store = Store(Path(folder) / "store", entropy="plan")
        record = run_cell(cell, Context(store, Settings(threads=1, plugin_files=files)))
        return record, store.evidence(record)
