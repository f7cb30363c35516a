"""The small CLIP: unit vectors, quiet loading, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import miniature
from bench.errors import UserError
from bench.miniature.clip import MiniatureClip


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
    with pytest.raises(UserError, match="not model:pretrained"):
        MiniatureClip.load("ViT-B-32")
    with pytest.raises(UserError, match=r"It has .*openai"):
        MiniatureClip.load("ViT-B-32:nothing")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot be fetched"):
        MiniatureClip.load("ViT-B-32:laion2b_s34b_b79k")
