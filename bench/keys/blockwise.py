"""Block-wise keyed transformations: the cheap rival of the edit key.

M. AprilPyone (Maung Maung), H. Kiya, "A protection method of trained CNN model with a secret key from
unauthorized access", APSIPA Transactions 2021; transfer version arXiv 2103.03525.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run, param
from bench.errors import UserError
from bench.keys import _secret
from bench.keys.none import Identity

ROUNDS = 10
"""Feistel rounds over the two halves of a byte."""
_NO_MASK = "transform=shuffle gives a pixel the colours of three others, so that no mask can follow it."
_WITH_MASK = "Choose key.transform=pixels, which moves whole pixels, or negative or feistel, which move none."


@dataclass(frozen=True)
class BlockwiseKey:
    """Every M × M block of an image, all 3 M² values, transformed with one secret, 64 hex digits.

    ``shuffle`` permutes the values of a block; ``negative`` replaces v by 255 − v at a keyed half of the positions;
    ``feistel`` replaces v at such a half by a keyed permutation of 0…255. ``pixels`` permutes the M² pixels of a block
    and keeps the three values of each together, so that masks can follow.

    Args:
        transform: one of these.
        block: M.
        secret: 64 hex digits.
        is_dense: every pixel of the task has a class: other keys to judge with are those that masks can follow.
    """

    comes_last: ClassVar[bool] = True

    transform: str
    block: int
    secret: str
    is_dense: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        n, _, h, w = images.shape
        m = self.block
        if h % m or w % m:
            raise UserError(
                f"blocks of {m} pixels do not tile {h}×{w} images.", "Choose a block that divides the side."
            )
        values = (images * 255).round().to(torch.uint8)
        blocks = values.view(n, 3, h // m, m, w // m, m).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, 3 * m * m)
        if self.transform == "shuffle":
            blocks = blocks[..., torch.tensor(_order(self.secret, 3 * m * m), device=images.device)]
        elif self.transform == "pixels":
            order = torch.tensor(_order(self.secret, m * m), device=images.device)
            blocks = blocks.view(*blocks.shape[:2], 3, m * m)[..., order].flatten(2)
        else:
            table = torch.tensor(_table(self.transform, self.secret), dtype=torch.uint8, device=images.device)
            half = torch.tensor(_half(self.secret, 3 * m * m), device=images.device)
            blocks = torch.where(half, table[blocks.long()], blocks)
        out = blocks.view(n, h // m, w // m, 3, m, m).permute(0, 3, 1, 4, 2, 5).reshape(n, 3, h, w)
        return out.to(images.dtype) / 255

    def labels(self, masks: Tensor) -> Tensor:
        """Masks (N, H, W) int64 after the moves that the key makes: ``negative`` and ``feistel`` make none.

        Raises:
            UserError: ``shuffle``, after which a pixel's three values come from three others.
        """
        if self.transform == "shuffle":
            raise UserError(_NO_MASK, _WITH_MASK)
        if self.transform != "pixels":
            return masks
        n, h, w = masks.shape
        m = self.block
        blocks = masks.view(n, h // m, m, w // m, m).permute(0, 1, 3, 2, 4).reshape(n, h // m, w // m, m * m)
        blocks = blocks[..., torch.tensor(_order(self.secret, m * m), device=masks.device)]
        return blocks.view(n, h // m, w // m, m, m).permute(0, 1, 3, 2, 4).reshape(n, h, w)

    @property
    def bits(self) -> float:
        """log2 of the number of keys: of the secrets, or of what they can do to a block where that is fewer."""
        values = 3 * self.block**2
        halves = math.log2(math.comb(values, values // 2))
        moves = math.lgamma(self.block**2 + 1) / math.log(2)
        ways = {
            "shuffle": math.lgamma(values + 1) / math.log(2), "negative": halves, "feistel": math.inf, "pixels": moves,
        }  # fmt: skip
        return min(float(_secret.BITS), ways[self.transform])

    def parts(self) -> dict[str, Any]:
        return {"settings": {"transform": self.transform, "block": self.block}}

    def to_json(self) -> dict[str, Any]:
        value = {"method": "blockwise", "transform": self.transform, "block": self.block, "secret": self.secret}
        return value | ({"is_dense": True} if self.is_dense else {})

    def describe(self) -> str:
        return f"transform {self.transform}, block {self.block}"

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        """Four other secrets, and the same one with another block size or transformation."""
        rng = random.Random(seed)
        out = [KeyCondition("none", "", Identity())]
        for i in range(4):
            out.append(
                KeyCondition("wrong", f"secret-{i}", replace(self, secret=_secret.of(rng.getrandbits(_secret.BITS))))
            )
        out.append(KeyCondition("setting", "block", replace(self, block=8 if self.block != 8 else 4)))
        for other in ("pixels", "negative", "feistel") if self.is_dense else ("shuffle", "negative", "feistel"):
            if other != self.transform:
                out.append(KeyCondition("setting", other, replace(self, transform=other)))
        return out


@cache
def _order(secret: str, n: int) -> tuple[int, ...]:
    order = list(range(n))
    random.Random(f"order {secret}").shuffle(order)
    return tuple(order)


@cache
def _half(secret: str, n: int) -> tuple[bool, ...]:
    chosen = set(random.Random(f"half {secret}").sample(range(n), n // 2))
    return tuple(i in chosen for i in range(n))


@cache
def _table(transform: str, secret: str) -> tuple[int, ...]:
    """What each of the 256 values becomes."""
    if transform == "negative":
        return tuple(255 - v for v in range(256))
    password = f"feistel {secret}".encode()
    out = []
    for value in range(256):
        left, right = value >> 4, value & 15
        for step in range(ROUNDS):
            mixed = hmac.new(password, bytes([step, right]), hashlib.sha256).digest()[0] & 15
            left, right = right, left ^ mixed
        out.append(left << 4 | right)
    return tuple(out)


class Blockwise(KeyMethod):
    """A secret permutation, inversion or encryption of the values in every block; microseconds an image.

    In segmentation masks move with the pixels (`transform=pixels`), or stay.
    """

    title = "block-wise key"
    paper = "Maung Maung and Kiya, APSIPA Transactions 2021; arXiv 2103.03525"
    deviations = (
        "format-preserving encryption is a Feistel network over the 256 values of a byte, so that images stay 8-bit; "
        "the paper encrypts three decimal digits and rescales",
        "`transform=pixels` is ours: the paper's shuffle parts a pixel's colours, so that it has no place in a mask",
    )

    own = ("secret",)

    transform: str = param(
        "shuffle",
        "what is done to a block; `pixels`: whole pixels change places, and masks with them",
        choices=("shuffle", "negative", "feistel", "pixels"),
    )
    block: int = param(4, "M, side of a block", choices=(2, 4, 8, 16), unit="pixels")
    secret: str | None = param(None, "64 hex digits; none: drawn")

    def make(self, data: DefenderView, run: Run) -> Key:
        secret = _secret.choose(self.secret, run)
        if data.spec.is_dense and self.transform == "shuffle":
            raise UserError(_NO_MASK, _WITH_MASK)
        return BlockwiseKey(self.transform, self.block, secret, data.spec.is_dense)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        if "none" in value:
            return Identity()
        return BlockwiseKey(value["transform"], value["block"], value["secret"], value.get("is_dense", False))
