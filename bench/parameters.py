"""The parameters of a model: its matrices, its layers' weights, and those that another model has too."""

from __future__ import annotations

from torch import Tensor, nn

from bench import models
from bench.contracts import Classifier


def matrices(model: Classifier, head: bool = True) -> dict[str, nn.Parameter]:
    """Parameters of two or more dimensions by name: no norms, no biases.

    Args:
        head: False leaves out those of the head.
    """
    left_out = set() if head else set(models.head_names(model))
    return {name: p for name, p in model.named_parameters() if p.ndim > 1 and name not in left_out}


def layer_weights(model: Classifier, head: bool = True) -> dict[str, nn.Parameter]:
    """Weights of convolutions and linear layers by name, in the order of modules; dimension 0 is filters.

    Unlike `matrices` they leave out what is no layer's weight, such as the positions of a transformer.

    Args:
        head: False leaves out those of the head.
    """
    left_out = set() if head else set(models.head_names(model))
    layers = [(f"{name}.weight", m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return {name: layer.get_parameter("weight") for name, layer in layers if name not in left_out}


def network(model: Classifier) -> tuple[str, Classifier]:
    """What stands before the names of the innermost network's parameters, and that network.

    A lock that wraps a network holds it as ``inner``; a plain model has no prefix and is its own network.
    """
    prefix = ""
    while isinstance(inner := getattr(model, "inner", None), Classifier):
        prefix, model = f"{prefix}inner.", inner
    return prefix, model


def counterparts(model: Classifier, other: Classifier, head: bool = True) -> dict[str, Tensor]:
    """Tensors of the state of ``other`` by the names of ``model``: those that ``model`` has in the same shape.

    The network that ``model`` wraps counts as a plain one: ``inner.net.conv1.weight`` is ``net.conv1.weight``.

    Args:
        head: False leaves out the heads of both.
    """
    prefix = network(model)[0].removesuffix(network(other)[0])
    own = model.state_dict()
    out = {
        prefix + name: value
        for name, value in other.state_dict().items()
        if prefix + name in own and own[prefix + name].shape == value.shape
    }
    if head:
        return out
    left_out = {*models.head_names(model), *(prefix + name for name in models.head_names(other))}
    return {name: value for name, value in out.items() if name not in left_out}
