"""Weights that were read, put into an architecture: its outputs counted, its classes in the order of the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench import models
from bench.checkpoints.key_names import COLOURS, fitted
from bench.contracts import Classifier
from bench.errors import UserError

_REMEDY = "Name its architecture: --model NAME, with --model-args and --image-size where it has another size."


@dataclass
class Fitted:
    """A checkpoint in its architecture.

    Args:
        model: the classifier, K real classes first.
        outputs: how many the checkpoint ships.
        notes: what was renamed, converted and reordered, a phrase each.
    """

    model: Classifier
    outputs: int
    notes: list[str] = field(default_factory=list)


def fit(
    file: str,
    state: Mapping[str, Tensor],
    architecture: Classifier,
    order: Sequence[int] | None = None,
    spec: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Fitted:
    """The classifier of ``architecture`` with the weights ``state``.

    Args:
        file: the checkpoint's name, for messages.
        state: weights by name, prefixes removed.
        architecture: of K outputs; its weights do not matter.
        order: the output of each class of the data; None where classes and outputs have one order.
        spec: fields of the spec that differ: preprocessing, ``norm``.
        seed: of the fresh outputs, which are replaced.

    Raises:
        UserError: the weights do not fit, or there are fewer outputs than classes.
    """
    full = {name.removeprefix("net."): name for name in architecture.state_dict()}
    weights, notes = fitted(state, full)
    heads = [name.removeprefix("net.") for name in models.head_names(architecture)]
    if heads[0] not in weights:
        raise UserError(f"{file} has no {heads[0]}: it holds {', '.join(list(state)[:3])}, ….", _REMEDY)
    outputs, k = len(weights[heads[0]]), architecture.k
    if outputs < k:
        raise UserError(
            f"{file} has {outputs} outputs, and the data have {k} classes.", "Audit it on the data it was trained for."
        )
    changed = architecture.spec | dict(spec or {})
    base = architecture if changed == architecture.spec else type(architecture)(changed)
    model = models.widen(base, outputs - k, seed)
    own = {name.removeprefix("net."): value for name, value in model.state_dict().items()}
    _check_colours(file, state, full, model.spec)
    weights = _shaped(weights, own, notes)
    _check(file, weights, own)
    ready = {name: _as(value, own[name]) for name, value in weights.items()}
    if order is not None and list(order) != list(range(k)):
        rows = _rows(file, order, outputs)
        for name in models.output_names(architecture):
            short = name.removeprefix("net.")
            ready[short] = ready[short][rows]
        notes.append("put the outputs into the order of the data's classes")
    model.load_state_dict({full[name]: value for name, value in ready.items()})
    dtypes = {str(v.dtype).removeprefix("torch.") for v in state.values() if v.dtype.is_floating_point}
    notes += [f"converted {' and '.join(sorted(dtypes - {'float32'}))} to float32"] if dtypes - {"float32"} else []
    return Fitted(model.eval(), outputs, notes)


def _rows(file: str, order: Sequence[int], outputs: int) -> list[int]:
    if sorted(set(order)) != sorted(order) or any(not 0 <= i < outputs for i in order):
        raise UserError(
            f"the class order {list(order)[:5]}… names no outputs of {file}.", "Give each class one output."
        )
    return [*order, *(i for i in range(outputs) if i not in set(order))]


def _shaped(weights: dict[str, Tensor], own: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Weights of the same numbers in another shape: a linear head saved as a 1 × 1 convolution, or the other way."""
    out = dict(weights)
    for name, value in weights.items():
        wanted = own.get(name)
        if wanted is None or wanted.shape == value.shape or wanted.numel() != value.numel():
            continue
        if [d for d in wanted.shape if d != 1] == [d for d in value.shape if d != 1]:
            out[name] = value.reshape(wanted.shape)
            notes.append(f"reshaped {name} from {tuple(value.shape)} to {tuple(wanted.shape)}")
    return out


def _check_colours(file: str, state: Mapping[str, Tensor], own: Collection[str], spec: Mapping[str, Any]) -> None:
    """Whether images are normalised as the checkpoint says, where it holds ``mean`` and ``std`` beside the weights.

    Raises:
        UserError: it says otherwise.
    """
    found: dict[str, list[float]] = {}
    for name, value in state.items():
        last = name.rpartition(".")[2]
        if last in COLOURS and name not in own and last in spec and value.numel() in (1, 3):
            found[last] = value.double().flatten().expand(3).tolist()
    if max(found.get("mean", [0.0])) > 1:  # of images in [0, 255]
        found = {name: [v / 255 for v in values] for name, values in found.items()}
    differ = [name for name, values in found.items() if not _is_near(values, spec[name])]
    if differ:
        options = " ".join(f"--{n} {','.join(f'{v:.6g}' for v in found[n])}" for n in COLOURS if n in found)
        raise UserError(
            f"{file} holds another {' and '.join(differ)} than its images would be normalised with.", f"Give {options}."
        )


def _is_near(values: Sequence[float], usual: Sequence[float]) -> bool:
    return all(abs(a - b) < 1e-3 for a, b in zip(values, usual, strict=False))


def _as(value: Tensor, wanted: Tensor) -> Tensor:
    return value.to(wanted.dtype) if value.dtype != wanted.dtype else value


def _check(file: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    missing, more = [k for k in own if k not in state], [k for k in state if k not in own]
    counters = [k for k in missing if k.endswith("num_batches_tracked")]
    reshaped = [k for k in own if k in state and state[k].shape != own[k].shape]
    if set(missing) - set(counters) or more or reshaped:
        first = [*missing, *more, *reshaped][:3]
        shapes = "".join(f"; {k} is {tuple(state[k].shape)}, not {tuple(own[k].shape)}" for k in reshaped[:1])
        raise UserError(
            f"{file} does not fit the architecture: {len(missing)} weights missing, {len(more)} unknown, "
            f"{len(reshaped)} of another shape ({', '.join(first)}, …{shapes}).",
            _REMEDY,
        )
    wrong = [k for k, v in state.items() if v.dtype.is_floating_point and not bool(torch.isfinite(v).all())]
    if wrong:
        raise UserError(f"{file} holds numbers that are not finite.", "Check how it was saved.")
