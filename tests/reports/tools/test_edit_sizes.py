"""Sizes of edits over a made-up data set and editor: every concept once, numbers by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from bench.editors import relatedness, vocabulary
from reports.tools import edit_sizes


class Blank:
    """A CLIP to which everything looks alike."""

    def text_embedding(self, texts: Sequence[str]) -> Tensor:
        return torch.ones(len(texts), 1)

    def image_embedding(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 1)


def _in_the_background(images: Tensor, concept: str) -> Tensor:
    """A tenth brighter in the lower half for an object, everywhere else too for the rest."""
    out = images.clone()
    out[:, :, 2:] += 0.1
    if edit_sizes.group_of(concept) != "object":
        out[:, :, :2] += 0.1
    return out


def test_every_concept_is_measured_inside_and_outside_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.int64)
    masks[:, :2] = 1
    monkeypatch.setattr(edit_sizes, "data", lambda task, n: (torch.zeros(3, 3, 4, 4), masks, ("a", "b")))
    monkeypatch.setattr(edit_sizes, "edited", _in_the_background)
    monkeypatch.setattr(edit_sizes, "unedited", lambda images: images + 0.01)
    monkeypatch.setattr(relatedness, "named", Blank)
    coded, *found = edit_sizes.measure("made-up", 3)
    assert (coded.group, coded.inside, coded.images) == (edit_sizes.CODED, pytest.approx(40, abs=0.01), None)
    assert [size.concept for size in found] == list(vocabulary.CONCEPTS)
    for size in found:
        wanted = (23.01, 60.0, 20.0) if size.group == "object" else (20.0, 20.0, 20.0)
        assert (size.whole, size.inside, size.outside) == pytest.approx(wanted, abs=0.01)
        assert (size.images, size.classes) == (1, 1)
    assert edit_sizes.read(edit_sizes.text([coded, *found])) == [coded, *found]
