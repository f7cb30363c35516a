"""The rerun of a random cell: which cells a reviewer's machine can make, and whether two results of one agree.

A rerun is the only check that finds numbers which were never measured. A submitter cannot know which cell it will be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from bench import datasets, registry
from bench.checkpoints.model_names import parse
from bench.datasets import facts
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.records import EDITOR, THIRD_PARTY, Cell, Measured, PluginRef, Record
from reports.board.finding import Finding, Submission
from reports.gate.lines import TOLERANCE
from reports.gate.snapshot import SPENT
from reports.rows.controls import role_of

NUMBERS = {
    "oracle": "oracle", "UP": "UP", "LP": "LP", "RP": "RP", "RP_validation": "RP",
    "UP_shipped": "UP", "LP_shipped": "LP", "authorised_after": "RP", "victim_authorised": "UP",
}  # fmt: skip
"""Numbers that are compared, with the name of what does not matter in `TOLERANCE`."""
EVIDENT = ("oracle", "UP", "LP", "RP", "RP_validation")
"""Those with answers by image that are compared one by one."""
EXACT = tuple(f"{side}_{part}" for side in ("test", "authorised", "validation") for part in ("index", "labels"))
"""Evidence that is drawn and not computed: it is the same on every machine."""
SAME = ("extra_parameters", "defender_needs", "classes", "metric")
"""Facts that are the same on every machine."""


@dataclass(frozen=True)
class Choice:
    """A cell that is run again.

    Args:
        record: what is said of it.
        seed: which the choice was drawn with; None: a reviewer named the cell.
        among: how many cells it was drawn from.
    """

    record: Record
    seed: int | None
    among: int


def choose(s: Submission, cell: str, seed: int) -> Choice | None:
    """The cell to run again; None where this machine can run none.

    Args:
        cell: ``random``, or the first digits of a record's hash.
        seed: of the random choice.

    Raises:
        UserError: no such cell, or one that cannot be run here.
    """
    if cell != "random":
        found = [r for r in s.records if len(cell) >= 4 and r.hash.startswith(cell)]
        if len(found) != 1:
            raise UserError(
                f"{len(found)} records have a hash that begins with '{cell}'.", "Name more digits, or random."
            )
        if why := obstacle(found[0]):
            raise UserError(f"{in_short(found[0].cell)} cannot be run here: {why}.", "Name another cell, or random.")
        return Choice(found[0], None, 1)
    able = sorted((r for r in s.records if r.status != "failed" and not obstacle(r)), key=lambda r: r.hash)
    methods = [r for r in able if role_of(r.cell) != "control"]  # a control says nothing of what is new
    cells = methods or able
    return Choice(Random(seed).choice(cells), seed, len(cells)) if cells else None


def obstacle(record: Record) -> str:
    """Why a cell cannot be run again from what is installed here; empty where it can.

    Nothing is fetched for it, and no path in an archive is followed.
    """
    cell = record.cell
    for kind in ("lock", "key", "attack"):
        ref: PluginRef = getattr(cell, kind)
        info = registry.current().get(kind, ref.name)
        if info is None:
            return f"the {kind} {ref.name} is not known"
        if info.files or ref.role == "given":
            return f"the {kind} {ref.name} reads a file"
        if info.asks_language_model(ref.params):
            return "it asks a language model"
    return _obstacle_of_data(cell) or _obstacle_of_model(cell)


def _obstacle_of_data(cell: Cell) -> str:
    for side in datasets.pair(cell.scenario) or (cell.scenario,):
        info = datasets.source(side)
        if info is None:
            return f"the data set {side} is not known"
        if info.prefix or not facts.of(info, side.partition(":")[2]).here:
            return f"the data set {side} is not part of this installation"
    return ""


def _obstacle_of_model(cell: Cell) -> str:
    try:
        base = parse(cell.model)
    except UserError:
        return f"the model {cell.model} is not known"
    if registry.current().get("model", base.base) is None or base.weights:
        return f"the model {cell.model} is not part of this installation"
    return "" if cell.editor == EDITOR else f"the editor {cell.editor} is not part of this installation"


def compare(
    first: tuple[Record, Mapping[str, Any]], second: tuple[Record, Mapping[str, Any]], exact: bool = False
) -> Finding:
    """Whether a cell that was run again says what its record says.

    What is drawn is compared exactly: splits, labels, floor, key. What is computed depends on the machine in its last
    digits, and a training that rounds otherwise ends elsewhere. There the numbers may differ by the points that do not
    matter in practice, or by the noise of the images of both.

    Args:
        first: of the archive, with its evidence.
        second: made here.
        exact: whether every answer must be the same, as on one and the same CPU it is.
    """
    (theirs, their_arrays), (ours, our_arrays) = first, second
    problems: list[str] = []
    lines: list[str] = []
    if ours.status != theirs.status:
        error = (ours.error or "").strip().splitlines()
        problems.append(f"it is {ours.status} here ({error[0] if error else 'no reason'}), and {theirs.status} there")
    for name in EXACT:
        if name in our_arrays and not _equal(their_arrays.get(name), our_arrays[name]):
            problems.append(f"its {name.replace('_', ' ')} is another")
    if ours.status == "ok" and theirs.floor != ours.floor:
        problems.append(f"the floor is {ours.floor} here, and {theirs.floor} there")
    if ours.status == "ok" and theirs.key != ours.key:
        problems.append("the key is another")
    for name, metric in NUMBERS.items():
        a, b = getattr(theirs, name), getattr(ours, name)
        if a is None or b is None:
            if (a is None) != (b is None) and ours.status == "ok":
                problems.append(f"{name} is there on one side alone")
            continue
        within = _within(a, b, metric)
        same = _equal(_answers(their_arrays, name), _answers(our_arrays, name))
        lines.append(f"{name} {a.value:.2f} in the archive, {b.value:.2f} here{', the same answers' if same else ''}")
        if abs(a.value - b.value) > within:
            problems.append(f"{name} is {b.value:.2f} here, and {a.value:.2f} there: more than {within:.1f} points")
        elif exact and not same and name in EVIDENT:
            problems.append(f"the answers behind {name} are not the same")
    problems += _other_facts(theirs, ours, exact) if ours.status == theirs.status == "ok" else []
    alike = ours.hash == theirs.hash
    lines.append("the hash is the same: code, versions, data, settings and seeds are" if alike else "another hash")
    if problems:
        return Finding(
            "rerun", False, "; ".join(problems), "Ask its authors how the record was made; run another cell too.",
            tuple(lines),
        )  # fmt: skip
    return Finding("rerun", True, "the cell says the same when it is run here", lines=tuple(lines))


def _other_facts(theirs: Record, ours: Record, exact: bool) -> list[str]:
    """What else a record says: key conditions, costs, sizes, and, on one and the same CPU, its red flags.

    Seconds, memory and the milliseconds of a key are of the machine, so they are not compared.
    """
    problems = [f"{name} is another" for name in SAME if getattr(theirs, name) != getattr(ours, name)]
    if theirs.transductive != ours.transductive:
        problems.append("whether its predictions depend on the batch is another")
    if [(c.kind, c.label) for c in theirs.conditions] != [(c.kind, c.label) for c in ours.conditions]:
        problems.append("its key conditions are others")
    else:
        problems += [
            f"{a.accuracy.value:.1f} under the key condition {a.name}, and {b.accuracy.value:.1f} here"
            for a, b in zip(theirs.conditions, ours.conditions, strict=True)
            if abs(a.accuracy.value - b.accuracy.value) > _within(a.accuracy, b.accuracy, "wrong_key")
        ]
    problems += _costs("the lock", theirs.lock_meter, ours.lock_meter)
    if theirs.cell.budget.seconds is None:  # else a faster machine gets further
        problems += _costs("the attack", theirs.meter, ours.meter)
        there, here = len(theirs.curve), len(ours.curve)
        if there != here and (exact or not there or not here):  # an attack may hand in where a score has risen
            problems.append(f"its curve has {_counted(there, 'points')}, and {here} here")
    a, b = theirs.key_megabytes, ours.key_megabytes
    if (a is None) != (b is None) or _apart(a, b):  # of a key in the weights, training decides how many it holds
        problems.append(f"its key holds {b} MB here, and {a} there")
    a, b = theirs.LP_after_batch_norm, ours.LP_after_batch_norm
    if (a is None) != (b is None):
        problems.append("LP after batch norm is there on one side alone")
    elif a is not None and b is not None and theirs.LP is not None:
        first, second = (theirs.LP.model_copy(update={"value": value}) for value in (a, b))
        if abs(a - b) > _within(first, second, "LP"):
            problems.append(f"LP after batch norm is {b:.1f} here, and {a:.1f} there")
    their_flags, our_flags = ({f.name for f in record.flags if f.name != THIRD_PARTY} for record in (theirs, ours))
    if exact and their_flags != our_flags:
        words = (", ".join(sorted(flags)) or "none" for flags in (their_flags, our_flags))
        problems.append("its red flags are {}, and {} here".format(*words))
    return problems


def _costs(who: str, there: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> list[str]:
    """What was spent, where one side spent more than twice the other: a plugin may stop a little earlier or later."""
    out = []
    for name, words in SPENT.items():
        a, b = ((meter or {}).get(name) for meter in (there, here))
        if (a is None) != (b is None):
            out.append(f"{words} of {who} are counted on one side alone")
        elif _apart(a, b):
            out.append(f"{who} spends {_counted(b, words)} here, and {a} there")
    return out


def _apart(a: float | None, b: float | None) -> bool:
    """Whether one count is more than twice the other."""
    return a is not None and b is not None and max(a, b) > 2 * min(a, b)


def _counted(n: Any, words: str) -> str:
    return f"{n} {words.removesuffix('s') if n == 1 else words}"


def _within(a: Measured, b: Measured, metric: str) -> float:
    """Points that two measurements of one thing may differ by."""
    return max(TOLERANCE[metric], math.hypot(_half(a), _half(b)))


def _half(measured: Measured) -> float:
    if measured.low is None or measured.high is None:
        return 0.0
    return float(measured.high - measured.low) / 2


def _answers(arrays: Mapping[str, Any], name: str) -> Any:
    return arrays.get(f"pred/{name}", arrays.get(f"confusion/{name}"))


def _equal(one: Any, other: Any) -> bool:
    return one is not None and other is not None and bool(np.array_equal(one, other))
