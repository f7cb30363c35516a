"""Kinds of task: which locks, attacks and models run on which data. No torch here."""

from __future__ import annotations

from bench import datasets
from bench.errors import UserError
from bench.plugin_source import PluginInfo


def reason_against(info: PluginInfo, task: str) -> str:
    """Why the lock or attack ``info`` does not run on ``task``; "" where it does."""
    kind = datasets.kind(task)
    if kind in info.tasks:
        return ""
    return f"{info.name} does not run on {kind}" + (f": {info.unsuited}" if info.unsuited else "")


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
