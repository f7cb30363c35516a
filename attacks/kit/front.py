"""A predictor with a chain of transforms in front, and the transforms that it can be rebuilt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attacks.kit.canonical import Canonical
from attacks.kit.input import Colour, Moments, Pattern, Residual, Swap, Transform, to_pixels
from attacks.kit.inverted import LowRank, Trigger
from bench import mapped
from bench.contracts import Images, Predictor

FORMS: dict[str, type[Transform]] = {
    "colour": Colour, "moments": Moments, "swap": Swap, "residual": Residual, "pattern": Pattern,
    "canonical": Canonical, "trigger": Trigger, "low-rank": LowRank,
}  # fmt: skip


def of_specs(specs: Sequence[dict[str, Any]]) -> nn.Sequential:
    """The transforms of ``specs``, in order; none: the identity."""
    return nn.Sequential(*(FORMS[s["form"]](**{k: v for k, v in s.items() if k != "form"}) for s in specs))


@torch.no_grad()
def images_after(images: Images, chain: nn.Sequential) -> Images:
    """``images`` after ``chain``, in 8 bit, with the labels they had; a large set lies in a mapped file."""
    if not len(chain):
        return images
    out = mapped.empty(images.shape)
    for batch in images.batches(256):
        out[batch.index] = to_pixels(chain(batch.images))
    return images.with_pixels(out)


class InFront(Predictor):
    """An inner predictor on images that went through a chain of transforms.

    Args:
        inner: the locked model, by weights or behind its interface.
        chain: the specs of the transforms, in order; none: the inner predictor as it is.
    """

    def __init__(self, inner: Predictor, chain: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self.inner, self.chain = inner, of_specs(chain)
        self.transductive, self.costly = inner.transductive, inner.costly

    @classmethod
    def of(cls, inner: Predictor, *transforms: Transform) -> InFront:
        """The predictor with copies of ``transforms``."""
        predictor = cls(inner, [t.spec for t in transforms])
        predictor.chain.load_state_dict(nn.Sequential(*transforms).state_dict())
        return predictor

    def arguments(self) -> dict[str, Any]:
        return {"chain": [transform.spec for transform in self.chain]}

    def transformed(self, images: Tensor) -> Tensor:
        """``images`` (N, 3, H, W) after the chain, and after what the inner predictor changes."""
        changed: Tensor = self.chain(images)
        further = self.inner.transformed(changed)
        return changed if further is None else further

    def predict(self, images: Tensor) -> Tensor:
        return self.inner.predict(self.chain(images))
