"""Weights in an architecture: heads of every kind, more outputs, the order of classes, what does not fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from bench import models, registry
from bench.checkpoints import fitting, heads
from bench.contracts import Classifier, Images, Spec
from bench.errors import UserError
from bench.training import Run

CASES = [
    # name, size, parts of the head, whether the head alone makes the outputs
    ("resnet10t", 32, 1, True),
    ("test_vit", 160, 1, True),
    ("test_resnet", 32, 1, True),
    ("deit_tiny_distilled_patch16_224?img_size=32&depth=1", 32, 2, True),
    ("levit_128s", 224, 2, True),
    ("resnetv2_50x1_bit", 32, 1, True),
    ("dla46x_c", 32, 1, True),
    ("mobilenetv3_small_050", 32, 1, True),
    ("torchvision:mobilenet_v3_small", 32, 1, True),
    ("torchvision:squeezenet1_1", 64, 1, False),
]


@pytest.mark.parametrize(("name", "size", "parts", "is_split"), CASES)
def test_every_kind_of_head(name: str, size: int, parts: int, is_split: bool) -> None:
    model = models.build(name, Spec(size, ("a", "b", "c")), 1, "random").eval()
    assert isinstance(model, models.TimmClassifier)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs, embedding = model(images), model.embed(images)
        expected = heads.logits_of(model.net(model._prepare(images)))
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)
        alone = torch.allclose(model.head(embedding), outputs, atol=1e-3)
        assert alone == is_split
        model.features(images)
    assert len(heads.layers_of(model.net, 4)) == parts
    first = model.get_parameter(models.head_names(model)[0])
    assert len(first) == 4
    wide = models.widen(model, 3, 0)
    assert wide(images).shape == (2, 6)
    models.forget_head(model, 1)
    assert not torch.equal(model(images), outputs)


def test_a_network_that_names_no_stages_gives_what_can_be_had() -> None:
    from torch import nn

    assert heads.stages_of(nn.Linear(2, 2)) == []
    assert len(heads.stages_of(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU()))) == 1


def _state(k: int = 3, extra: int = 0, name: str = "cnn") -> tuple[Classifier, dict[str, torch.Tensor]]:
    model = models.build(name, Spec(32, tuple("abcdefgh"[:k])), extra, "random", 5)
    assert isinstance(model, models.TimmClassifier)
    return model, dict(model.net.state_dict())


def test_classes_in_another_order_with_an_extra_output(toy: Images) -> None:
    own, state = _state(3, 1)
    found = fitting.fit("f", state, models.build("cnn", Spec(32, ("a", "b", "c"))), [3, 0, 2])
    images = toy.images[:4]
    torch.testing.assert_close(models.outputs(found.model, images), models.outputs(own, images)[:, [3, 0, 2, 1]])
    assert (found.outputs, found.model.extra) == (4, 1)
    assert found.notes == ["put the outputs into the order of the data's classes"]


@pytest.mark.parametrize("name", ["cnn:8", "cnn:4"])
def test_a_head_with_hidden_layers(name: str, toy: Images) -> None:
    """A hidden layer may be as wide as the outputs; only the last one has their order."""
    spec = Spec(32, ("a", "b", "c"))
    own = models.build(name, spec, 1, "random", 5)
    found = fitting.fit("f", own.state_dict(), models.build(name, spec), [3, 0, 2])
    images = toy.images[:4]
    torch.testing.assert_close(models.outputs(found.model, images), models.outputs(own, images)[:, [3, 0, 2, 1]])


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224?img_size=32&depth=1", "resnetv2_18"])
def test_every_head_that_makes_the_outputs_takes_the_order(name: str, toy: Images) -> None:
    """Answers of two heads are averaged: with one of them in the old order the classes are mixed."""
    spec = Spec(32, ("a", "b", "c"))
    own = models.build(name, spec, 1, "random", 5).eval()
    found = fitting.fit("f", own.state_dict(), models.build(name, spec, weights="random"), [3, 0, 2])
    images = toy.images[:4]
    torch.testing.assert_close(models.outputs(found.model, images), models.outputs(own, images)[:, [3, 0, 2, 1]])


def test_how_images_were_normalised_is_not_dropped() -> None:
    _, state = _state()
    fit = partial(fitting.fit, "f", architecture=models.build("cnn", Spec(32, ("a", "b", "c"))))
    own = torch.tensor(models.build("cnn", Spec(32, ("a", "b", "c"))).spec["mean"])
    assert fit({**state, "mean": own})
    with pytest.raises(UserError, match="another mean") as caught:
        fit({**state, "mean": torch.tensor([123.675, 116.28, 103.53]), "std": torch.tensor([58.395, 57.12, 57.375])})
    assert "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225" in str(caught.value.remedy)


def test_half_precision_and_a_head_saved_as_a_convolution(toy: Images) -> None:
    own, state = _state()
    head = next(k for k in state if k.startswith("fc.") and k.endswith("weight"))
    state = {k: v.half() if v.dtype.is_floating_point else v for k, v in state.items()}
    state[head] = state[head][:, :, None, None]
    found = fitting.fit("f", state, models.build("cnn", Spec(32, ("a", "b", "c"))))
    torch.testing.assert_close(
        models.outputs(found.model, toy.images[:4]), models.outputs(own, toy.images[:4]), rtol=0.05, atol=0.05
    )
    assert any("reshaped" in note for note in found.notes)
    assert any("float16" in note for note in found.notes)


def test_fewer_outputs_than_classes_is_one_line() -> None:
    _, state = _state(2)
    with pytest.raises(UserError, match="f has 2 outputs, and the data have 3 classes"):
        fitting.fit("f", state, models.build("cnn", Spec(32, ("a", "b", "c"))))


@pytest.mark.parametrize("param", [{"mean": "1,2"}, {"std": "0"}, {"mean": "x"}, {"resize": 8}])
def test_parameters_of_the_lock_that_are_not_allowed(tmp_path: Path, param: dict[str, object]) -> None:
    _, state = _state()
    torch.save(state, tmp_path / "c.pth")
    lock = registry.INSTALLED.make("lock", "given", {"file": str(tmp_path / "c.pth"), **param})
    with pytest.raises(UserError):
        lock.protect(models.build("cnn", Spec(32, ("a", "b", "c"))), None, None, Run(1))


def test_maps_with_channels_last_are_seen_as_all_others() -> None:
    import timm
    import torchvision

    small = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1)}
    swin = timm.create_model("swin_tiny_patch4_window7_224", img_size=32, window_size=2, **small).eval()
    other = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [1, 1], [2, 2]).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for net, shapes in ((swin, [(2, 8, 8, 8), (2, 16, 4, 4)]), (other, [(2, 8, 8, 8), (2, 16, 4, 4)])):
        stages, seen = heads.stages_of(net), []
        with heads.watched(stages, None, seen, heads.is_channels_last(net)):
            plain = net(images)
        assert {tuple(x.shape) for x in seen} >= set(shapes)
        assert all(x.shape[2] == x.shape[3] for x in seen)
        with heads.watched(stages, lambda _, x: x, None, heads.is_channels_last(net)):
            torch.testing.assert_close(net(images), plain)
        with heads.watched(stages[-1:], lambda _, x: x * 0, None, heads.is_channels_last(net)):
            assert not torch.allclose(net(images), plain)
