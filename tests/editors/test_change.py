"""The size of an edit, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from bench.editors.change import CEILING, change, decibel


def test_a_change_of_a_tenth_is_twenty_decibels() -> None:
    raw = torch.full((2, 3, 4, 4), 0.5)
    got = change(raw, raw + 0.1)
    assert got.whole == pytest.approx(20, abs=1e-4)
    assert (got.inside, got.outside) == (None, None)


def test_inside_and_outside_are_apart() -> None:
    """A tenth inside, a hundredth outside; a quarter of the pixels are inside."""
    raw = torch.zeros(1, 3, 4, 4)
    masks = torch.zeros(1, 4, 4, dtype=torch.int64)
    masks[0, :2, :2] = 7
    after = torch.where(masks[:, None] > 0, 0.1, 0.01).expand_as(raw)
    got = change(raw, after, masks)
    assert got.inside == pytest.approx(20, abs=1e-4)
    assert got.outside == pytest.approx(40, abs=1e-4)
    mean = (0.1**2 + 3 * 0.01**2) / 4
    assert 10 ** (-got.whole / 10) == pytest.approx(mean, rel=1e-4)


def test_no_change_and_no_pixel_are_the_ceiling() -> None:
    assert decibel(torch.zeros(5)) == CEILING
    assert decibel(torch.zeros(0)) == CEILING
