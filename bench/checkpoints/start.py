"""The public weights of a network, under the network's own names, from wherever its model's name says."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from bench.checkpoints import heads, networks, reading, weights
from bench.checkpoints.importers.catalogue import form_of
from bench.checkpoints.importers.form import Form
from bench.checkpoints.key_names import fitted
from bench.checkpoints.model_names import ModelName
from bench.errors import UserError

_HEADS = (
    "head",
    "head_dist",
    "fc",
    "classifier",
    "last_linear",
    "fc_norm",
    "pre_logits",
    "AuxLogits",
    "aux_classifier",
)
"""Beginnings of names that files of weights have for heads, whatever this network calls its own."""
_ENCODERS = ("encoder.", "backbone.")
"""Beginnings of the names of an encoder in a segmenter of segmentation_models_pytorch, and of torchvision."""
_COUNTER = "num_batches_tracked"


def state_of(model: ModelName, net: nn.Module, head: Collection[str]) -> Mapping[str, Tensor]:
    """The public weights of ``net``, by its own names; a head's may be among them.

    Args:
        model: the name of the model, whose ``weights`` are not "none".
        net: its network.
        head: names of the weights of its head, which need not be there.

    Raises:
        UserError: they cannot be had, or do not fit.
    """
    if not model.weights:
        return networks.public_weights(model)
    file = weights.file_of(model)
    if file is None:
        state, form, shown = dict(_of_name(model)), None, model.weights
    else:
        state, form, shown = *_read(file, weights.content_of(file)), file.name
    return _fit(shown, model.name, state, form, net, set(head))


def encoder_state(model: ModelName, net: nn.Module) -> dict[str, Tensor]:
    """The weights of a file, or of a package, for ``net``, the encoder of a model that classifies each pixel.

    The file may hold the encoder alone, a classifier, whose last layers are left out, or a whole segmenter of
    segmentation_models_pytorch or torchvision, of which the encoder is taken.

    Args:
        model: the name of the model, whose ``weights`` name a file or a package.
        net: its encoder.

    Raises:
        UserError: the weights are of a hub, are not here, or do not fit.
    """
    file = weights.encoder_file(model)
    state, form = _read(file, weights.content_of(file))
    for beginning in _ENCODERS:
        if inner := {n.removeprefix(beginning): value for n, value in state.items() if n.startswith(beginning)}:
            state = inner
            break
    name = f"{model.source}:{model.name}"
    return _fit(file.name, name, _flattened(state, net), form, net, set(), whole=False)


def _flattened(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """``state`` with ``stages.0.`` as ``stages_0.`` where a network of timm that gives features says so."""
    own = {name.partition(".")[0] for name in net.state_dict()}
    out = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        at, _, last = rest.partition(".")
        flat = f"{first}_{at}"
        out[f"{flat}.{last}" if flat in own and first not in own else name] = value
    return out


def normalisation(model: ModelName) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of the images that the weights of ``model`` take; None for the architecture's.

    Raises:
        UserError: the weights are not here.
    """
    if model.weights.startswith(weights.HUB):
        config = networks.hub_config(model.weights.removeprefix(weights.HUB))[0]
        return list(config.mean), list(config.std)
    file = weights.file_of(model) if model.weights else None
    form = None if file is None else _read(file, weights.content_of(file))[1]
    return None if form is None or form.mean is None or form.std is None else (list(form.mean), list(form.std))


@lru_cache(maxsize=1)
def _read(file: Path, _content: str) -> tuple[dict[str, Tensor], Form | None]:
    """The weights in ``file`` as they are there, and its format."""
    state = reading.read(file).state
    return state, form_of(state)


def _of_name(model: ModelName) -> Mapping[str, Tensor]:
    """Weights of a hub, or of torchvision by their name there."""
    if model.weights.startswith(weights.HUB):
        return networks.public_weights(ModelName("hf-hub", model.weights.removeprefix(weights.HUB), args=model.args))
    return networks.torchvision_weights(model.name, model.weights)


def _fit(
    file: str,
    name: str,
    state: Mapping[str, Tensor],
    form: Form | None,
    net: nn.Module,
    head: set[str],
    whole: bool = True,
) -> dict[str, Tensor]:
    """``state`` by the names of ``net``, of which ``head`` may be missing.

    Args:
        whole: whether ``net`` is a whole classifier; else modules that it lacks altogether may be in the file.
    """
    own = net.state_dict()
    modules = {n.partition(".")[0] for n in own}
    converted = dict(state) if form is None else form.convert(state, own)
    adapted = _adapted(fitted(converted, own)[0], net)
    fresh = () if form is None else form.fresh
    missing = [n for n in own if n not in adapted and n not in head and not n.endswith(_COUNTER) and not _in(n, fresh)]
    foreign = {n: n.partition(".")[0] for n in adapted if n not in own}
    more = [n for n, first in foreign.items() if first not in _HEADS and (whole or first in modules)]
    other = [n for n in own if n in adapted and n not in head and own[n].shape != adapted[n].shape]
    if missing or more or other:
        first = ", ".join([*missing, *more, *other][:3])
        shapes = "".join(f"; {n} is {tuple(adapted[n].shape)}, not {tuple(own[n].shape)}" for n in other[:1])
        raise UserError(
            f"the weights {file} do not fit '{name}': {len(missing)} are missing, {len(more)} unknown and "
            f"{len(other)} of another shape ({first}{shapes}).",
            "Name the architecture they were trained in: --model NAME, with ?ARGUMENT=VALUE where it has another size.",
        )
    return {n: value for n, value in adapted.items() if n in own}


def _in(name: str, beginnings: tuple[str, ...]) -> bool:
    return bool(beginnings) and name.startswith(beginnings)


def _adapted(state: dict[str, Tensor], net: Any) -> dict[str, Tensor]:
    """``state`` as timm adapts it to ``net``: older names, and positions and patches resampled to its size."""
    adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if adapt is None or not type(net).__module__.startswith(f"{timm.__name__}."):
        return state
    try:
        return dict(adapt(state, net))
    except (KeyError, IndexError, AttributeError, RuntimeError, ValueError, TypeError, AssertionError):
        return state  # of another architecture: what does not fit is said by name


def load_but_head(net: Any, state: Mapping[str, Tensor], outputs: int = 0) -> None:
    """Load the weights of ``state`` into the network ``net``, but for its head and what has another shape.

    Args:
        outputs: how many ``net`` has, where it does not name its head.
    """
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    head = heads.weight_names(net, outputs)
    net.load_state_dict({k: v for k, v in fitting.items() if k not in head}, strict=False)
