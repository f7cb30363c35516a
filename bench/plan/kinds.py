"""Kinds of task: which locks, attacks and models run on which data. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import datasets
from bench.errors import UserError
from bench.plan.wording import text_of
from bench.plugin_source import PluginInfo


def reason_against(info: PluginInfo, task: str) -> str:
    """Why the lock or attack ``info`` does not run on ``task``; "" where it does."""
    kind = datasets.kind(task)
    if kind in info.tasks:
        return ""
    return f"{info.name} does not run on {kind}" + (f": {info.unsuited}" if info.unsuited else "")


def check_values(info: PluginInfo, task: str, params: Mapping[str, Any]) -> None:
    """Whether the values ``params`` of the lock or attack ``info`` go with ``task``.

    Raises:
        UserError: one does not; the message says why.
    """
    kind = datasets.kind(task)
    for value, reason in info.unsuited_values.get(kind, {}).items():
        name, _, text = value.partition("=")
        if text_of(params.get(name)) == text:
            raise UserError(f"{info.kind}.{value} does not go with {kind}: {reason}.", f"Set -p {info.kind}.{name}=… .")


def check_pair(task: str) -> None:
    """Whether both sides of ``task`` are of one kind.

    Raises:
        UserError: they are not.
    """
    sides = datasets.pair(task)
    if sides is not None and datasets.kind(sides[0]) != datasets.kind(sides[1]):
        kinds = " and ".join(f"{side} is a task of {datasets.kind(side)}" for side in sides)
        raise UserError(f"{kinds}.", "Pair two sets of one kind.")


def check_kind(info: PluginInfo, task: str) -> None:
    """Whether the lock or attack ``info`` runs on ``task``.

    Raises:
        UserError: it does not; the message says why.
    """
    if reason := reason_against(info, task):
        raise UserError(f"{reason}.", f"{task} is a task of {datasets.kind(task)}; choose another {info.kind} or task.")
