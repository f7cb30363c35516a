"""Models that classify each pixel: shapes, stages, heads, sizes that fit no stride, and the tasks they are for."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from bench import models
from bench.api.request import lines_of
from bench.contracts import Spec
from bench.errors import UserError
from bench.plan import checks
from bench.store import identity

SPEC = Spec(32, ("background", "a", "b"), "segmentation")
SMALL = "unet:cnn"
NAMES = (SMALL, "fpn:cnn", "fpn:tu-regnety_002?start=random")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract_of_a_classifier(name: str, images: torch.Tensor) -> None:
    model = models.build(name, SPEC, 2, seed=1).eval()
    with torch.no_grad():
        out, maps, stages = model(images), model.embed(images), model.features(images)
        assert out.shape == (2, 5, 32, 32)
        assert maps.ndim == 4
        torch.testing.assert_close(model.head(maps), out)
        assert model.logits(images).shape == (2, 3, 32, 32)
        assert len(stages) >= 4
        assert stages[0].shape[-1] > stages[-1].shape[-1]
        seen: list[int] = []

        def silence(stage: int, activation: torch.Tensor) -> torch.Tensor:
            seen.append(stage)
            return activation * 0

        assert not torch.allclose(model(images, silence), out)
        assert seen == list(range(len(stages)))
        again = models.rebuild(json.loads(json.dumps(model.spec)), model.state_dict())
        torch.testing.assert_close(again(images), out)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_trained(name: str, images: torch.Tensor) -> None:
    model = models.build(name, SPEC, seed=1).train()
    F.cross_entropy(model(images), torch.zeros(2, 32, 32, dtype=torch.int64)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", [SMALL, "fpn:cnn", "unet:resnet18?start=random"])
def test_sides_that_are_no_multiple_of_the_stride(name: str) -> None:
    task = Spec(20, SPEC.classes, "segmentation")
    model = models.build(name, task).eval()
    with torch.no_grad():
        for size in (20, 27):
            images = torch.rand(1, 3, size, size)
            assert model(images).shape == (1, 3, size, size)
        images = torch.rand(1, 3, 20, 20)
        torch.testing.assert_close(model.head(model.embed(images)), model(images))


def test_it_is_widened_and_its_head_forgotten(images: torch.Tensor) -> None:
    model = models.build(SMALL, SPEC, seed=1).eval()
    wide = models.widen(model, 1, 0).eval()
    with torch.no_grad():
        torch.testing.assert_close(wide(images)[:, :3], model(images))
        assert wide(images).shape == (2, 4, 32, 32)
    names = models.head_names(model)
    assert names == ["last.0.weight", "last.0.bias"]
    before = {n: p.clone() for n, p in model.named_parameters()}
    models.forget_head(model, 5)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(names)


def test_the_encoder_starts_from_the_public_weights_of_the_pack() -> None:
    start = models.build("cnn", Spec(32, ("a", "b")), seed=1)
    model, drawn = models.build(SMALL, SPEC, seed=2), models.build(f"{SMALL}?start=random", SPEC, seed=2)
    own, public = model.encoder.net.state_dict(), start.net.state_dict()
    assert all(torch.equal(own[k], public[k]) for k in own)
    assert not torch.equal(drawn.encoder.net.conv1[0].weight, public["conv1.0.weight"])
    assert torch.equal(drawn.last[0].weight, models.build(f"{SMALL}?start=random", SPEC, seed=2).last[0].weight)


def test_the_decoder_sees_every_pixel_through_the_stem() -> None:
    """With the network's own stages silent, one pixel moves outputs within the reach of the convolutions alone."""
    model = models.build(SMALL, SPEC, seed=1).eval()
    images = torch.full((1, 3, 32, 32), 0.5)
    moved = images.clone()
    moved[:, :, 16, 16] = 1.0

    def silence(_stage: int, activation: torch.Tensor) -> torch.Tensor:
        return activation * 0

    with torch.no_grad():
        change = (model(moved, silence) - model(images, silence)).abs().sum((0, 1))
    rows, columns = (change > 0).nonzero(as_tuple=True)
    reach = 6  # 3 × 3: the stem, two blocks of two, the head
    assert len(rows)
    assert rows.min() >= 16 - reach
    assert columns.max() <= 16 + reach


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unet:", "names no architecture"),
        ("unet:nothing", "there is no encoder 'nothing'"),
        ("unet:tu-nothing", "there is no encoder 'tu-nothing'"),
        ("fpn:resnet1", "there is no encoder 'resnet1'.*Did you mean resnet18"),
        ("unet:vit", "has no stages of falling resolution"),
        ("unet:cnn?depth=3", "takes no arguments"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        models.check(name)


def test_a_network_that_cannot_be_an_encoder_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"'tu-mixer_s32_224' cannot be the encoder of unet"):
        models.build("unet:tu-mixer_s32_224?start=random", SPEC)


def test_public_weights_that_are_not_here_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp

    make = smp.encoders.get_encoder

    def offline(name: str, weights: object = None, **more: object) -> object:
        if weights is not None:
            raise OSError("no network")
        return make(name, weights=None, **more)

    monkeypatch.setattr(smp.encoders, "get_encoder", offline)
    with pytest.raises(UserError, match=r"public weights of 'fpn:resnet18' cannot be loaded \(OSError\)") as caught:
        models.build("fpn:resnet18", SPEC)
    assert "fpn:cnn" in str(caught.value.remedy)


def test_models_and_tasks_of_other_kinds_are_refused_with_the_model_to_use() -> None:
    with pytest.raises(UserError, match="the model 'cnn' classifies images, not pixels") as caught:
        models.build("cnn", SPEC)
    assert "unet:cnn" in str(caught.value.remedy)
    with pytest.raises(UserError, match="the model 'unet:cnn' classifies pixels, not images"):
        models.build(SMALL, Spec(32, ("a", "b")))


def test_a_segmentation_task_has_a_model_where_none_is_named() -> None:
    names = {"locks": None, "attacks": None, "tasks": ["shapes-seg"], "models": None}
    assert list(lines_of(names, None, None, None)[0].models) == [SMALL]
    assert list(lines_of({**names, "tasks": ["shapes"]}, None, None, None)[0].models) == ["vit"]
    checks.check_model(SMALL, 32)


def test_a_victim_is_known_by_its_encoders_weights_and_its_decoders_library() -> None:
    assert [info.name for info in identity._architecture(SMALL)] == ["cnn"]
    assert list(identity._decoders(SMALL)) == ["segmentation_models_pytorch"]
    assert identity._decoders("cnn") == {}
