"""The small CLIP: unit vectors, quiet loading, clear errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_clips import tiny_clip

from bench import miniature
from bench.errors import UserError
from bench.miniature.clip import MiniatureClip, hub_of


def test_clip_gives_unit_vectors() -> None:
    clip = MiniatureClip.load(miniature.PACK / "clip")
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen, text = clip.image_embedding(x), clip.text_embedding(["with oil pastel", "a church"])
    assert seen.shape[0] == 3
    assert seen.shape[1] == text.shape[1]
    for unit in (seen, text):
        assert torch.allclose(unit.norm(dim=1), torch.ones(len(unit)), atol=1e-5)
    assert not torch.allclose(text[0], text[1])
    assert torch.allclose(clip.image_embedding(x[1:2])[0], seen[1], atol=1e-5)
    assert clip.image_embedding(torch.rand(1, 3, 50, 50)).shape == (1, seen.shape[1])
    assert clip.text_embedding([]).shape == (0, text.shape[1])
    assert torch.equal(clip.image_embedding(x), seen)


def test_clip_loads_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    handlers = list(logging.root.handlers)
    MiniatureClip.load(str(miniature.PACK / "clip"))
    text = capfd.readouterr()
    assert (text.out, text.err) == ("", "")
    assert logging.root.handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET


def test_clip_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    with pytest.raises(UserError, match="no open_clip folder"):
        MiniatureClip.load(tmp_path)
    with pytest.raises(UserError, match="not MODEL/PRETRAINED"):
        MiniatureClip.load("ViT-B-32")
    with pytest.raises(UserError, match=r"It has .*openai"):
        MiniatureClip.load("ViT-B-32:nothing")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot be fetched"):
        MiniatureClip.load("ViT-B-32:laion2b_s34b_b79k")


def test_the_pack_s_clip_is_one_by_name_and_by_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(miniature.PACK / "clip", folder)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    by_name, by_folder = MiniatureClip.load("miniature"), MiniatureClip.load(folder)
    assert torch.equal(by_name.image_embedding(images), by_folder.image_embedding(images))
    assert torch.equal(by_name.text_embedding(["a church"]), by_folder.text_embedding(["a church"]))


def test_a_clip_of_another_shape_and_normalisation_is_read_from_its_folder(tmp_path: Path) -> None:
    clip = MiniatureClip.load(tiny_clip(tmp_path / "tiny"))
    assert clip.size == (24, 24)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen, text = clip.image_embedding(images), clip.text_embedding(["a church", "with oil pastel"])
    assert seen.shape == text.shape == (2, 8)
    assert torch.allclose(seen.norm(dim=1), torch.ones(2), atol=1e-5)
    assert clip._mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_name_may_have_a_stroke_or_a_colon() -> None:
    slash, colon = (hub_of(f"ViT-B-32{mark}laion2b_s34b_b79k") for mark in "/:")
    assert slash == colon == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", ("open_clip_model.safetensors",))
