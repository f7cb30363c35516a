"""How related concepts are to a data set, and to one another, by CLIP: what a key is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench import metrics
from bench.assets import MINIATURE
from bench.editors import vocabulary

if TYPE_CHECKING:
    from bench.miniature.clip import MiniatureClip

LOOKED_AT = 256
"""Images of a data set that are looked at, at most."""


@dataclass(frozen=True)
class Relatedness:
    """Cosines of concepts with a data set, each concept in the form of a key's prompt.

    Args:
        concepts: N names.
        images: (N,) float32 in [-1, 1], mean cosine with the images.
        classes: (N,) float32 in [-1, 1], cosine with the name of the nearest class.
    """

    concepts: tuple[str, ...]
    images: Tensor
    classes: Tensor

    def order(self) -> list[str]:
        """The concepts from the least related on: styles by the images, a list with objects by both cosines' ranks.

        A style has nothing to do with what is shown, an object has: so its likeness to a class counts as well.
        """
        if not any(is_object(concept) for concept in self.concepts):
            return [self.concepts[i] for i in torch.argsort(self.images).tolist()]
        ranks = _ranks(self.images) + _ranks(self.classes)
        return [self.concepts[i] for i in torch.argsort(ranks, stable=True).tolist()]

    def third(self, share: str) -> list[str]:
        """The ``least`` or the ``most`` related third, its extreme first."""
        order = self.order() if share == "least" else self.order()[::-1]
        return order[: max(1, len(order) // 3)]


def measure(
    concepts: Sequence[str], images: Tensor, classes: Sequence[str], clip: MiniatureClip | None = None
) -> Relatedness:
    """How related ``concepts`` are to a data set.

    Args:
        concepts: N names.
        images: (M, 3, H, W) float32 in [0, 1]; `LOOKED_AT` of them are looked at.
        classes: names of the data's classes.
        clip: None: that of the pack. It was trained on styles and objects, not on names of classes.
    """
    clip = clip or named()
    text = clip.text_embedding([vocabulary.KEY_TEMPLATE.format(concept) for concept in concepts])
    names = clip.text_embedding(list(classes))
    looks = clip.image_embedding(images[metrics.at_random(len(images), LOOKED_AT)]).mean(0)
    return Relatedness(tuple(concepts), text @ looks, (text @ names.T).amax(1))


def is_object(concept: str) -> bool:
    """Whether ``concept`` is no style and no photo adjustment: something that can be in a picture."""
    return vocabulary.concept_of(concept) not in (*vocabulary.STYLES, *vocabulary.PHOTO)


def nearest_first(concept: str, others: Sequence[str], clip: MiniatureClip | None = None) -> list[str]:
    """``others`` by the cosine of their prompts' text with that of ``concept``, the nearest first."""
    clip = clip or named()
    first, *rest = clip.text_embedding([vocabulary.KEY_TEMPLATE.format(c) for c in (concept, *others)])
    cosines = torch.stack([text @ first for text in rest])
    return [others[i] for i in torch.argsort(cosines, descending=True, stable=True).tolist()]


@lru_cache(maxsize=2)
def named(clip: str = MINIATURE) -> MiniatureClip:
    """The CLIP of that name on the CPU, as `bench.miniature.clip` reads it: loaded once in a process.

    Raises:
        UserError: no such CLIP, or its weights are not here.
    """
    from bench.miniature.clip import MiniatureClip

    return MiniatureClip.load(clip)


def _ranks(values: Tensor) -> Tensor:
    """(N,) int64: 0 for the smallest."""
    return torch.argsort(torch.argsort(values, stable=True), stable=True)
