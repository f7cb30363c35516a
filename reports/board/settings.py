"""Whether the label of a record is what was run: its names and settings against all that entered its hash.

A hash covers the inputs of every stage. So who changes a label must change the inputs too, and then the hash is that
of another measurement. What only a rerun can show is whether the measurement took place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench import registry
from bench.hashing import digest
from bench.plan.wording import in_short
from bench.records import SCHEMA, PluginRef, Record
from bench.store import identity
from reports.board import code
from reports.board.finding import Finding, Submission, of_problems

MOST_THREADS = 1024
STAGE = {"lock": "protected", "attack": "unlocked"}
"""Where the parameters of a plugin enter; those of a key enter its own stage."""


def check(s: Submission) -> Finding:
    """Whether every record's settings are those that were asked for, and those that entered its hash."""
    problems = [f"{in_short(r.cell)}: {problem}" for r in s.records for problem in _problems(r, s.entropy)]
    return of_problems(
        "settings", "names, settings and seeds are those that entered the hashes", problems,
        "Export the store as `bench run` left it, and look at it at the commit of the card. "
        "Keys drawn from other entropy: name it in the card (entropy = …).",
    )  # fmt: skip


def _problems(record: Record, entropy: str) -> Iterator[str]:
    try:
        yield from _against_inputs(record)
        yield from _against_seeds(record, entropy)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        yield f"what entered its hash is incomplete ({type(error).__name__} {str(error)[:40]})"
        return
    changed = code.changed([record])
    for kind in ("lock", "key", "attack"):
        ref: PluginRef = getattr(record.cell, kind)
        yield from _against_plugin(kind, ref, f"{kind} {ref.name}" in changed)


def _against_inputs(record: Record) -> Iterator[str]:
    """What the record says, against what entered its hash."""
    cell, own, inputs = record.cell, record.provenance, record.provenance.inputs
    base, key, last = inputs["base"], inputs["key"], inputs["record"]
    pairs: list[tuple[str, Any, Any]] = [
        ("the schema", SCHEMA, base["schema"]),
        ("the row", cell.row(), last["row"]),
        ("the seed", cell.replicate, last["replicate"]),
        ("the task", cell.name, base["data"]["task"]),
        ("the model", cell.model_name, inputs["victim"]["model"]),
        ("the victim's training", cell.victim_training, inputs["victim"].get("training", {})),
        ("the key", cell.key.name, key["method"]),
        ("the parameters of the key", cell.key.params, key["params"]),
        ("the threat model", cell.threat.values(), inputs["unlocked"]["threat"]),
        ("the budget", cell.budget.values(), inputs["unlocked"]["budget"]),
        ("the versions", own.versions, base["versions"]),
        ("the threads", own.threads, base["threads"]),
        ("the precision", own.dtype, base.get("precision", "float32")),
        ("the device", own.machine.rpartition(" ")[2], base["device"]),
    ]
    if own.code:
        pairs.append(("the digest of its code", own.code, identity.code_of(inputs)))
    for kind, stage in STAGE.items():
        ref: PluginRef = getattr(cell, kind)
        files = inputs[stage]["files"]
        pairs += [
            (f"the {kind}", ref.name, inputs[stage][kind]),
            (
                f"the parameters of the {kind}",
                {name: value for name, value in ref.params.items() if name not in files},
                inputs[stage]["params"],
            ),
        ]
    yield from (
        f"{what} {_cut(label)} is not what was run: {_cut(value)}"
        for what, label, value in pairs
        if digest(label) != digest(value)
    )
    if not 1 <= own.threads <= MOST_THREADS:
        yield f"{own.threads} threads"


def _against_seeds(record: Record, entropy: str) -> Iterator[str]:
    """Seeds follow from names and replicate alone; that of the key from the entropy too."""
    inputs, labels = record.provenance.inputs, record.provenance.seeds
    values = {
        "split": inputs["base"]["split_seed"],
        "victim": inputs["victim"]["seed"],
        "key": inputs["key"]["seed"],
        "lock": inputs["protected"]["seed"],
        "attack": inputs["unlocked"]["seed"],
    }
    if inputs["key"]["entropy"] != digest(entropy):
        yield "its key was drawn from other entropy than the card names"
        entropy = ""
    due = identity.seeds_of(record.cell, entropy)
    for axis, seed in values.items():
        if labels.get(axis) != seed or (seed != due[axis] and (axis != "key" or entropy)):
            yield f"the random seed of the {axis} is not the one of its names"


def _against_plugin(kind: str, ref: PluginRef, is_changed: bool) -> Iterator[str]:
    """What was set is among the parameters, and all else is as the plugin declares it.

    Args:
        is_changed: whether the plugin's code is another here, so that its defaults may be others too.
    """
    for name, value in ref.explicit.items():
        if name not in ref.params or digest(ref.params[name]) != digest(value):
            yield f"{kind}.{name} was set to {_cut(value)} and run with {_cut(ref.params.get(name))}"
    info = registry.current().get(kind, ref.name)
    if info is None:
        if ref.role == "control" or ref.purpose:
            yield f"the {kind} {ref.name} is called a control, and is not known here"
        return
    usual: Mapping[str, Any] = {name: param.default for name, param in info.params.items()}
    for name in sorted(usual.keys() | ref.params.keys()):
        if name not in usual or name not in ref.params:
            yield f"{kind}.{name} is no parameter of both the record and {kind} {ref.name}"
        elif name not in ref.explicit and digest(ref.params[name]) != digest(usual[name]):
            moved = "; its code has changed since, and the default may have with it" if is_changed else ""
            yield f"{kind}.{name} was run with {_cut(ref.params[name])}, though its label has the default{moved}"
    if (ref.role, ref.purpose) != (info.role, info.purpose):
        yield f"the {kind} {ref.name} is called a {ref.role}{' ' * bool(ref.purpose)}{ref.purpose}"
    if kind == "attack" and ref.selection != info.rule(ref.params):
        yield f"the selection rule of {ref.name} is not its own"


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
