"""Masks in image sets, and their moves with the images."""

from __future__ import annotations

import pytest
import torch

from bench import augment
from bench.contracts import IGNORE, IGNORED, Batch, Images


def _set() -> Images:
    masks = torch.randint(3, (5, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    masks[:, 0] = IGNORED
    return Images(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), masks)


def test_masks_are_int64_with_the_ignored_marked() -> None:
    images = _set()
    assert images.labels.dtype == torch.int64
    assert (images.labels[:, 0] == IGNORE).all()
    assert torch.equal(images.subset(torch.tensor([3, 1])).labels, images.labels[[3, 1]])
    assert torch.equal(images.take(torch.tensor([2])).labels, images.labels[[2]])
    assert torch.equal(images.with_masks(images.labels).stored_labels, images.stored_labels)
    assert not images.unlabelled().labelled


@pytest.mark.parametrize("vary", [augment.jitter, augment.recolour])
def test_masks_move_with_their_images(vary: object) -> None:
    """An image that is its own mask stays so, but at borders between classes."""
    masks = torch.zeros(8, 32, 32, dtype=torch.int64)
    masks[:, 8:24, 6:20] = 1
    images = masks[:, None].float().expand(-1, 3, -1, -1)
    batch = augment.varied(Batch(images, masks, torch.arange(8)), augment.jitter, torch.Generator().manual_seed(1))
    agree = (batch.images[:, 0].round().long() == batch.labels).float().mean()
    assert agree > 0.98
    assert not torch.equal(batch.labels, masks), "they moved"
    rng, again = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    both = augment.varied(Batch(images, masks, torch.arange(8)), vary, rng)
    assert torch.equal(both.images, vary(images, again)), "the images are those of the augmentation alone"
    assert torch.equal(rng.get_state(), again.get_state())


def test_ignored_pixels_stay_ignored() -> None:
    masks = torch.full((4, 32, 32), IGNORE)
    assert (augment.moved(masks, torch.Generator().manual_seed(0)) == IGNORE).all()


def test_masks_cannot_follow_moves_that_are_not_known() -> None:
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64), torch.arange(1))
    with pytest.raises(ValueError, match="masks can follow"):
        augment.varied(batch, lambda images, rng: images.flip(3), torch.Generator())
