"""Conformance of a plugin outside the project: one small cell of it, measured twice in stores of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import plan
from bench.errors import UserError
from bench.plugin_source import PluginInfo
from bench.records import Cell, Record
from bench.run.cell import run_cell
from bench.run.context import Context
from bench.run.judge import Evidence
from bench.store.settings import Settings
from bench.store.store import Store

TASK, MODEL, SIZE = "shapes", "cnn", 16


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


def small_cell(info: PluginInfo) -> Cell:
    """A small cell that runs the plugin ``info`` with its quick parameters.

    Raises:
        UserError: a parameter that is not allowed.
    """
    chosen: dict[str, Any] = {f"{info.kind}.{name}": value for name, value in info.quick.items()}
    names = {"lock": "none", "attack": "none", "task": TASK, "model": MODEL} | {info.kind: info.name}
    params: Mapping[str, Any] = {"task.size": SIZE, **chosen}
    if info.kind == "key":
        params = {**params, "lock.key": info.name}
    elif info.kind == "editor":
        params = {**params, "lock.key": "edit", "key.editor": info.name}
    elif info.kind != "lock":
        params = {**params, "lock.key": "none"}
    return plan.make_cell(names["lock"], names["attack"], names["task"], names["model"], params)


def _measured(cell: Cell, files: tuple[str, ...]) -> tuple[Record, Evidence]:
    with tempfile.TemporaryDirectory(prefix="lockbench-check-") as folder:
        store = Store(Path(folder) / "store", entropy="plan")
        record = run_cell(cell, Context(store, Settings(threads=1, plugin_files=files), lambda *_: None))
        return record, store.evidence(record)
