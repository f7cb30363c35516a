"""Names of models: sources, tags, heads, arguments."""

from __future__ import annotations

import pytest

from bench import models
from bench.checkpoints.model_names import ModelName, parse, text_of
from bench.errors import UserError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vit", ModelName("", "vit")),
        ("vgg13_bn:256-256", ModelName("", "vgg13_bn", (256, 256))),
        ("resnet18.a1_in1k", ModelName("", "resnet18.a1_in1k")),
        ("torchvision:vit_b_16", ModelName("torchvision", "vit_b_16")),
        ("hf-hub:timm/x.y", ModelName("hf-hub", "timm/x.y")),
        ("factory:a/b.py:make", ModelName("factory", "a/b.py:make")),
        (
            "v?img_size=64&global_pool=avg&start=random",
            ModelName("", "v", (), {"img_size": 64, "global_pool": "avg"}, "random"),
        ),
    ],
)
def test_parts(text: str, parts: ModelName) -> None:
    assert parse(text) == parts


def test_equal_arguments_are_equal_names() -> None:
    assert (
        text_of("v", {"b": 1, "a": "x"}, "random")
        == text_of("v", {"start": "random", "a": "x", "b": 1})
        == "v?a=x&b=1&start=random"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.nonsense", "no weights tagged 'nonsense'"),
        ("resnet1", "unknown model 'resnet1'.*Did you mean"),
        ("torchvision:resnet19", "torchvision has no classifier"),
        ("torchvision:", "names no architecture"),
        ("factory:nowhere.at.all:make", "there is no module"),
        ("factory:make", "names no function"),
        ("hf-hub:nobody/nothing", "is not on this machine.*bench prepare --model hf-hub:nobody/nothing"),
        ("resnet18:x", "no list of widths"),
        ("resnet18?start=never", "start=never is not allowed"),
        ("vit?img_size=3", "takes no arguments"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        models.check(name)


def test_right_names() -> None:
    for name in ("resnet18.a1_in1k", "vit", "torchvision:vit_b_16", "deit_tiny_distilled_patch16_224"):
        models.check(name)
