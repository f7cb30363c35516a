"""Concepts by their likeness to data: by hand where the vectors are chosen, in the old order where CLIP is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.editors import vocabulary
from bench.editors.relatedness import LOOKED_AT, Relatedness, is_object, measure, named, nearest_first


class Compass:
    """A CLIP of two directions: what it says of a text is chosen, every image points east."""

    says = {
        "with monet": (1.0, 0.0), "with dali": (0.6, 0.8), "with zebra": (0.0, 1.0), "with church": (0.8, 0.6),
        "with abacus": (-1.0, 0.0), "north": (0.0, 1.0), "south": (0.0, -1.0),
    }  # fmt: skip

    def text_embedding(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([self.says[text] for text in texts])

    def image_embedding(self, images: Tensor) -> Tensor:
        assert len(images) <= LOOKED_AT
        return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)


CLIP: Any = Compass()


def test_cosines_are_those_of_the_images_and_of_the_nearest_class() -> None:
    got = measure(["monet", "dali", "zebra"], torch.zeros(300, 3, 8, 8), ["north", "south"], CLIP)
    torch.testing.assert_close(got.images, torch.tensor([1.0, 0.6, 0.0]))
    torch.testing.assert_close(got.classes, torch.tensor([0.0, 0.8, 1.0]))


def test_styles_are_ordered_by_images_alone_and_objects_by_both() -> None:
    styles = Relatedness(("monet", "dali", "picasso"), torch.tensor([0.3, 0.1, 0.2]), torch.tensor([0.0, 1.0, 0.5]))
    assert styles.order() == ["dali", "picasso", "monet"]
    # Ranks by images 0 2 1 3, by classes 0 0 1 and so on: sums 1, 2, 4, 5.
    images, classes = torch.tensor([0.0, 0.3, 0.1, 0.4]), torch.tensor([0.1, 0.0, 0.3, 0.2])
    objects = Relatedness(("zebra", "church", "abacus", "mailbox"), images, classes)
    assert objects.order() == ["zebra", "church", "abacus", "mailbox"]


def test_a_third_is_the_least_or_the_most_related() -> None:
    names = ("monet", "dali", "picasso", "acrylic", "pastel", "cyberpunk")
    values = torch.tensor([0.5, 0.1, 0.6, 0.2, 0.3, 0.4])
    found = Relatedness(names, values, torch.zeros(6))
    assert found.third("least") == ["dali", "acrylic"]
    assert found.third("most") == ["picasso", "monet"]
    assert Relatedness(names[:1], values[:1], torch.zeros(1)).third("most") == ["monet"]


def test_other_objects_come_with_the_nearest_first() -> None:
    assert nearest_first("zebra", ["abacus", "church", "monet"], CLIP) == ["church", "abacus", "monet"]


def test_objects_are_what_is_neither_style_nor_adjustment() -> None:
    assert is_object("zebra")
    assert is_object("fire engine")
    assert not is_object("with oil pastel")
    assert not is_object("sharpness")


def test_the_order_of_styles_is_that_of_clip_on_the_images() -> None:
    """As it has always been drawn: the order decides which prompt a seed gets."""
    images = torch.rand(LOOKED_AT, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    names = list(vocabulary.STYLES)
    clip = named()
    looks = clip.image_embedding(images).mean(0)
    order = torch.argsort(clip.text_embedding([f"with {name}" for name in names]) @ looks).tolist()
    assert measure(names, images, ("a", "b")).third("least") == [names[i] for i in order[: len(names) // 3]]


def test_a_clip_is_loaded_once_in_a_process() -> None:
    assert named("miniature") is named("miniature")
