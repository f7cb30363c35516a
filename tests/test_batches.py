"""A deck: the order of its batches, and equal batches whether images live on the device or are sent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.batches import Deck
from bench.contracts import IGNORE, IGNORED, Images
from bench.placement import fits, generator, sent, uniform, unit

CPU = torch.device("cpu")


def _images(n: int = 10, masks: bool = False) -> Images:
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, 3, 4, 4), generator=rng).byte()
    labels = torch.randint(0, 3, (n, 4, 4), generator=rng).byte() if masks else torch.arange(n)
    if masks:
        labels[:, 0] = IGNORED
    return Images(pixels, labels)


def _deck(source: Images, size: int, resident: bool | None = None, device: torch.device = CPU) -> Deck:
    return Deck(source, size, device, torch.Generator().manual_seed(7), resident)


def test_every_image_comes_once_before_any_comes_twice() -> None:
    """The order is one permutation of `torch.randperm` after another, cut into batches."""
    deck, rng = _deck(_images(), 4), torch.Generator().manual_seed(7)
    dealt = torch.cat([deck.deal().index for _ in range(5)])
    assert dealt.tolist() == [*torch.randperm(10, generator=rng).tolist(), *torch.randperm(10, generator=rng).tolist()]


def test_a_batch_is_no_larger_than_the_set() -> None:
    assert len(_deck(_images(3), 64).deal()) == 3


@pytest.mark.parametrize("masks", [False, True], ids=["classes", "masks"])
@pytest.mark.parametrize("subset", [False, True], ids=["whole", "subset"])
def test_images_that_live_on_the_device_are_the_same_batches(masks: bool, subset: bool) -> None:
    source = _images(masks=masks)
    if subset:
        source = source.subset(torch.tensor([8, 1, 5, 2, 9]))
    sending, living = _deck(source, 4, resident=False), _deck(source, 4, resident=True)
    for _ in range(4):
        a, b = sending.deal(), living.deal()
        assert torch.equal(a.index, b.index)
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, source.images[a.index])
        assert torch.equal(a.labels, source.labels[a.index])
        assert not masks or bool((a.labels[:, 0] == IGNORE).all())


def test_batches_without_labels_have_none() -> None:
    assert not _deck(_images().unlabelled(), 4, resident=True).deal().labelled


def test_the_order_is_that_of_the_cpu_on_another_device() -> None:
    """The meta device has shapes and no values; the index of a batch stays on the CPU."""
    there, here = _deck(_images(), 4, device=torch.device("meta")), _deck(_images(), 4)
    for _ in range(5):
        a, b = there.deal(), here.deal()
        assert a.index.tolist() == b.index.tolist()
        assert (a.images.device.type, a.labels.device.type) == ("meta", "meta")


def test_a_set_is_copied_to_a_device_once() -> None:
    source, meta = _images(), torch.device("meta")
    assert source.on(meta) is source.on(meta)
    assert source.on(CPU) is source


def test_normalised_pixels_are_the_nearest_float32_to_k_over_255() -> None:
    exact = (np.arange(256, dtype=np.float64) / 255).astype(np.float32)
    assert np.array_equal(unit(torch.arange(256).byte()).numpy(), exact)
    assert torch.equal(unit(torch.arange(256).byte()), torch.arange(256).byte().float() / 255)


def test_random_numbers_on_the_cpu_are_those_of_its_generator() -> None:
    numbers = uniform((3, 2), generator(5, CPU), CPU)
    assert torch.equal(numbers, torch.rand((3, 2), generator=torch.Generator().manual_seed(5)))
    assert uniform((3, 2), generator(5, CPU), torch.device("meta")).device.type == "meta"


def test_what_is_on_the_cpu_already_is_not_copied() -> None:
    tensor = torch.ones(3)
    assert sent(tensor, CPU) is tensor
    assert fits(10**15, CPU)


def test_what_is_known_of_each_image_follows_the_batch() -> None:
    """On the device or on the CPU; equal numbers, whether the index has been there or is sent."""
    source, known = _images(), torch.arange(10) * 10
    for resident in (False, True):
        batch = _deck(source, 4, resident).deal()
        batch = batch.with_images(batch.images * 0).with_labels(batch.labels)
        assert torch.equal(batch.of(known), known[batch.index])
        assert torch.equal(batch.there, batch.index)
    there = _deck(source, 4, device=torch.device("meta")).deal()
    assert (there.index.device.type, there.there.device.type) == ("cpu", "meta")
    assert there.of(known).shape == there.of(known.to("meta")).shape == (4,)
    assert there.of(known).device.type == "meta"
