"""Parameters of a model: matrices, layers' weights, those another model has too, and gradients for a while."""

from __future__ import annotations

import pytest
import torch
from wrapped import KINDS, wrapped

from bench import models
from bench.contracts import Spec
from bench.gradients import gradients_inside, without_gradients
from bench.parameters import counterparts, layer_weights, matrices, network

SPEC = Spec(size=16, classes=tuple("abc"))


def test_matrices_have_two_dimensions_and_layers_are_convolutions_and_linear_layers() -> None:
    model = models.build("vit", SPEC, weights="random")
    every, layers = matrices(model), layer_weights(model)
    assert {p.ndim for p in every.values()} <= {2, 3, 4}
    assert set(layers) < set(every)  # positions are no layer
    assert not {"net.pos_embed", "net.cls_token"} & set(layers)
    assert set(layers) - set(layer_weights(model, head=False)) == {n for n in models.head_names(model) if "weight" in n}
    assert all(torch.equal(model.get_parameter(name), p) for name, p in layers.items())
    assert set(every) - set(matrices(model, head=False)) == {n for n in models.head_names(model) if "weight" in n}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_network_has_the_counterparts_of_a_plain_one(kind: str) -> None:
    plain, other = (models.build("cnn", SPEC, weights="random", seed=seed) for seed in (0, 1))
    model = wrapped(kind, plain, 16)
    prefix, inside = network(model)
    assert (prefix, type(inside)) == ("inner.", type(plain))
    found, own = counterparts(model, other), model.state_dict()
    assert {name.removeprefix("inner.") for name in found} == set(other.state_dict())
    assert all(found[name].shape == own[name].shape for name in found)
    assert not set(counterparts(model, other, head=False)) & {f"inner.{n}" for n in models.head_names(other)}
    assert counterparts(model, model).keys() == own.keys()
    assert counterparts(plain, other).keys() == plain.state_dict().keys()


def test_gradients_come_back_whatever_happened() -> None:
    layer = torch.nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    with pytest.raises(RuntimeError), without_gradients(layer.parameters()):
        assert not layer.weight.requires_grad
        raise RuntimeError
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad
    mask = torch.tensor([[True, False]])
    for inside in (True, False):
        layer.zero_grad()
        if inside:
            with pytest.raises(RuntimeError), gradients_inside([(layer.weight, mask)]):
                layer(torch.ones(1, 2)).sum().backward()
                raise RuntimeError
        else:
            layer(torch.ones(1, 2)).sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.tolist() == [[1.0, 0.0 if inside else 1.0]]
