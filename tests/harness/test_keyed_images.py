"""Keyed images are the same whether they are kept or made anew."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.contracts import Images
from bench.harness import keyed_images
from bench.harness.keyed_images import KeyedImages


class Negative:
    """Turns every image into its negative, and counts the images it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return 1 - images


@pytest.fixture
def images() -> Images:
    return Images(torch.randint(0, 256, (150, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("kept", [True, False])
def test_chunks_and_places_agree(images: Images, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_images, "KEPT", 1 << 30 if kept else 0)
    key = Negative()
    keyed = KeyedImages(images, key)  # type: ignore[arg-type]
    expected = 1 - images.images
    assert torch.equal(torch.cat(list(keyed.chunks())), expected)
    assert torch.equal(keyed.at(torch.tensor([149, 3])), expected[[149, 3]])
    assert key.seen == (150 if kept else 152)
