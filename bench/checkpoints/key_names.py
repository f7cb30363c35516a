"""Names of weights: prefixes that training code puts in front, and how they meet an architecture's own names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
"""What data parallelism, `torch.compile` and wrapper classes put in front of every name."""
COLOURS = ("mean", "std")
"""What wrappers normalise images with, kept beside the weights."""
COUNTERS = ("n_averaged", "total_ops", "total_params", *COLOURS)
"""Entries of averaging, profiling and wrapping code that are no weights of the network."""

_SMP_HEAD, _AUXILIARY = "segmentation_head.", "aux_classifier."
"""Heads of segmentation_models_pytorch, and those of torchvision that only training uses."""

T = TypeVar("T")


def stripped(state: Mapping[str, T]) -> tuple[dict[str, T], str]:
    """``state`` without the prefixes that all names share, in any nesting, and what was removed.

    Counters do not stop it: `torch.optim.swa_utils` keeps ``n_averaged`` beside ``module.…``.
    """
    names = {name: value for name, value in state.items() if name.rpartition(".")[2] not in COUNTERS[:3]}
    removed = ""
    while names:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in names)), "")
        if not prefix:
            break
        names = {name[len(prefix) :]: value for name, value in names.items()}
        removed += prefix
    return names, removed


def fitted(state: Mapping[str, T], own: Collection[str]) -> tuple[dict[str, T], list[str]]:
    """``state`` under the names of an architecture, and what was renamed, a phrase each.

    A wrapper that has a head of its own beside the network gives names such as ``backbone.layer1…`` and ``fc.weight``:
    a prefix comes off each name that fits without it and not with it. ``head`` and ``fc`` stand for one another where
    the architecture has only the other. The head of segmentation_models_pytorch has another name there, and a head that
    only training uses is left out.
    """
    notes: list[str] = []
    out = {}
    for name, value in state.items():
        short = name
        while short not in own and (prefix := next((p for p in PREFIXES if short.startswith(p)), "")):
            short = short[len(prefix) :]
        out[short if short in own else name] = value
        if short in own and short != name:
            note = f"removed {name[: len(name) - len(short)]} from some names"
            notes += [note] if note not in notes else []
    for name in list(out):
        last = name.replace(_SMP_HEAD, "last.", 1)
        if name.startswith(_SMP_HEAD) and name not in own and last in own:
            out[last] = out.pop(name)
            note = f"renamed {_SMP_HEAD}* to last.*"
            notes += [note] if note not in notes else []
        elif name.startswith(_AUXILIARY) and name not in own:
            del out[name]
            note = "left out the auxiliary head"
            notes += [note] if note not in notes else []
    is_alike = 2 * sum(name in own for name in out) > len(own)
    for name in list(out) if is_alike else ():
        if name in own:
            continue
        for old, new in (("head.", "fc."), ("fc.", "head."), ("classifier.", "head."), ("head.", "head.fc."),
                         ("classifier.", "fc."), ("fc.", "classifier."), ("head.", "classifier.")):  # fmt: skip
            other = new + name[len(old) :]
            if name.startswith(old) and name.count(".") == 1 and other in own and other not in out:
                out[other] = out.pop(name)
                notes += [f"renamed {name} to {other}"]
                break
    return {name: value for name, value in out.items() if name in own or name not in COUNTERS}, notes
