"""Weights with the names of EfficientNet-PyTorch in timm's network, against a second reading of the architecture."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.checkpoints import reading, start
from bench.checkpoints.importers.catalogue import form_of
from bench.checkpoints.importers.efficientnet_pytorch import FORM, LITE0
from bench.checkpoints.model_names import parse
from bench.checkpoints.preprocessing import IMAGENET

NAME = "tf_efficientnet_lite0"
EPSILON = 1e-3
BLOCKS = (  # kernel, stride, expansion, inputs, outputs, repeats: of EfficientNet-Lite0's definition
    (3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1),
)  # fmt: skip


def layers() -> list[tuple[str, int, int, int, int, bool]]:
    """Prefix, kernel, stride, inputs, outputs and whether it expands, of each block."""
    out = []
    for kernel, stride, expansion, inputs, outputs, repeats in BLOCKS:
        for i in range(repeats):
            first = i == 0
            name = f"_blocks.{len(out)}."
            out.append((name, kernel, stride if first else 1, inputs if first else outputs, outputs, expansion > 1))
    return out


def published(seed: int = 0) -> dict[str, Tensor]:
    """Random weights with the names and shapes of the published file."""
    rng = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        scale = math.sqrt(2 / (into * kernel * kernel))
        state[f"{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=rng) * scale

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=rng)
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=rng)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(width, generator=rng)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=rng)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    for name, kernel, _, inputs, outputs, expands in layers():
        middle = inputs * 6 if expands else inputs
        if expands:
            conv(f"{name}_expand_conv", middle, inputs, 1)
            norm(f"{name}_bn0", middle)
        conv(f"{name}_depthwise_conv", middle, 1, kernel)
        norm(f"{name}_bn1", middle)
        conv(f"{name}_project_conv", outputs, middle, 1)
        norm(f"{name}_bn2", outputs)
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    state["_fc.weight"] = torch.randn(1000, 1280, generator=rng) / 36
    state["_fc.bias"] = torch.randn(1000, generator=rng)
    return state


def forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The logits (N, 1000) that TensorFlow's EfficientNet-Lite0 gives for normalised images (N, 3, H, W)."""

    def conv(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel, pads = weight.shape[-1], []
        for side in (x.shape[-1], x.shape[-2]):  # "same": the output has ⌈side / stride⌉ pixels, more padding behind
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + EPSILON) * weight + bias

    def relu6(x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    x = relu6(norm("_bn0", conv("_conv_stem", x, 2)))
    for name, _, stride, inputs, outputs, expands in layers():
        y = relu6(norm(f"{name}_bn0", conv(f"{name}_expand_conv", x))) if expands else x
        y = relu6(norm(f"{name}_bn1", conv(f"{name}_depthwise_conv", y, stride, y.shape[1])))
        y = norm(f"{name}_bn2", conv(f"{name}_project_conv", y))
        x = x + y if stride == 1 and inputs == outputs else y
    x = relu6(norm("_bn1", conv("_conv_head", x)))
    return x.mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize("side", [64, 75])
def test_the_network_answers_as_a_second_reading_of_the_architecture(side: int) -> None:
    state = published()
    net = timm.create_model(NAME).eval()
    assert form_of(state) is FORM
    net.load_state_dict(FORM.convert(state, net.state_dict()), strict=True)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(net(images), forward(state, images), rtol=1e-3, atol=1e-3)


def test_a_file_of_a_deeper_network_is_said_by_name() -> None:
    net = timm.create_model(NAME)
    state = published() | {"_blocks.16._project_conv.weight": torch.zeros(1)}
    converted = FORM.convert(state, net.state_dict())
    assert set(converted) - set(net.state_dict()) == {"_blocks.16._project_conv.weight"}


def test_the_published_file_is_used_to_its_last_tensor_and_knows_a_flower() -> None:
    file = LITE0.find()
    if file is None:
        pytest.skip(f"{LITE0.name} is not installed")
    datasets = pytest.importorskip("sklearn.datasets")
    state = reading.read(file).state
    net = timm.create_model(NAME).eval()
    own = start.state_of(parse(f"{NAME}?weights=efficientnet-lite0"), net, ())
    assert len(state) == len(own) == len(net.state_dict()) == 296
    assert {k: tuple(v.shape) for k, v in published().items()} == {k: tuple(v.shape) for k, v in state.items()}
    net.load_state_dict(dict(own), strict=True)
    image = torch.tensor(datasets.load_sample_image("flower.jpg")).permute(2, 0, 1)[None, :, :, 106:533] / 255
    image = F.interpolate(image, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    images, (mean, std) = (image - 0.5) / 0.5, (torch.tensor(v).view(1, 3, 1, 1) for v in IMAGENET)
    daisy = 985  # ImageNet's nearest class to the dahlia of the photograph
    with torch.no_grad():
        logits = net(images)
        torch.testing.assert_close(logits, forward(state, images), rtol=1e-3, atol=1e-3)
        other = net((image - mean) / std)
    assert int(logits.argmax()) == daisy
    assert logits.softmax(1)[0, daisy] > other.softmax(1)[0, daisy], "0.5 and 0.5 fit better than ImageNet's values"
