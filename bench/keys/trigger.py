"""The trigger key: a secret pattern added in one corner of the image, with saturation.

Authority Backdoor, AAAI 2026, arXiv 2512.10600. Its pattern is not published: this one is a reconstruction.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import BadParameter, DefenderView, Key, KeyCondition, KeyMethod, Run, param
from bench.keys import _secret
from bench.keys.none import Identity

CORNERS = ("bottom-right", "bottom-left", "top-right", "top-left")


@dataclass(frozen=True)
class TriggerKey:
    """x -> clip(x + strength · P) in one corner; P is 0 or 1 for each pixel and channel.

    It moves no pixel, so masks stay as they are.

    Args:
        secret: 64 hex digits; draws P, each value with probability one half.
        side: of the corner, pixels.
        strength: above 0, at most 1.
        corner: one of `CORNERS`.
        inverted: share of P that is the other way round, the first of an order that ``secret`` draws.
    """

    comes_last: ClassVar[bool] = True

    secret: str
    side: int
    strength: float = 1.0
    corner: str = "bottom-right"
    inverted: float = 0.0

    def pattern(self) -> Tensor:
        """(3, side, side) float32 of 0 and 1."""
        return _pattern(self.secret, self.side, self.inverted).clone()

    def place(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the corner; see `place`."""
        return place(self.side, self.corner, height, width)

    def __call__(self, images: Tensor) -> Tensor:
        rows, columns = self.place(*images.shape[2:])
        out = images.clone()
        out[:, :, rows, columns] = (
            out[:, :, rows, columns] + self.strength * _pattern(self.secret, self.side, self.inverted).to(images)
        ).clamp(0, 1)
        return out

    def parts(self) -> dict[str, Any]:
        """How large the corner is, where, and how strong; P is the secret."""
        return {"settings": {"side": self.side, "strength": self.strength, "corner": self.corner}}

    def to_json(self) -> dict[str, Any]:
        where = {"side": self.side, "strength": self.strength, "corner": self.corner}
        return {"method": "trigger", "secret": self.secret, **where, "inverted": self.inverted}

    def describe(self) -> str:
        turned = f", {100 * self.inverted:.0f} % inverted" if self.inverted else ""
        return f"{self.side}×{self.side} pattern, {self.corner}, strength {self.strength:g}{turned}"

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        """Half the strength and a fifth inverted (near); another pattern, another corner, all inverted (wrong)."""
        rng = random.Random(seed)
        corner = rng.choice([c for c in CORNERS if c != self.corner])
        secret = _secret.of(rng.getrandbits(_secret.BITS))
        keys: dict[tuple[str, str], Key] = {
            ("none", ""): Identity(),
            ("near", "half"): replace(self, strength=self.strength / 2),
            ("near", "a fifth inverted"): replace(self, inverted=0.2),
            ("wrong", "pattern"): replace(self, secret=secret),
            ("wrong", "corner"): replace(self, corner=corner),
            ("wrong", "inverted"): replace(self, inverted=1.0),
        }
        return [KeyCondition(kind, label, key) for (kind, label), key in keys.items()]


def place(side: int, corner: str, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a corner of ``side`` pixels in images of ``height`` × ``width``.

    Args:
        corner: one of `CORNERS`.

    Raises:
        BadParameter: there is no such corner, or it does not fit into the image.
    """
    if corner not in CORNERS:
        raise BadParameter(f"corner {corner!r}, must be one of {', '.join(CORNERS)}")
    if not 0 < side <= min(height, width):
        raise BadParameter(f"a corner of {side} pixels does not fit into {height}×{width} images")
    vertical, horizontal = corner.split("-")
    rows = slice(height - side, height) if vertical == "bottom" else slice(0, side)
    columns = slice(width - side, width) if horizontal == "right" else slice(0, side)
    return rows, columns


@functools.lru_cache(maxsize=64)
def _pattern(secret: str, side: int, inverted: float) -> Tensor:
    """(3, side, side) float32 of 0 and 1, one tensor for all calls."""
    n = 3 * side**2
    bits = hashlib.shake_256(f"pattern {secret}".encode()).digest(n)
    order = hashlib.shake_256(f"order {secret}".encode()).digest(4 * n)
    values = [byte & 1 for byte in bits]
    for i in sorted(range(n), key=lambda i: (order[4 * i : 4 * i + 4], i))[: round(inverted * n)]:
        values[i] = 1 - values[i]
    return torch.tensor(values, dtype=torch.float32).view(3, side, side)


class Trigger(KeyMethod):
    """A secret pattern added in one corner: no editor, and 3 s² bits for a corner of s pixels."""

    title = "trigger key"
    paper = "Authority Backdoor, AAAI 2026, arXiv 2512.10600"
    deviations = (
        "the pattern is not published: here each value of each pixel is raised or not, with probability one half",
    )

    own = ("secret",)

    secret: str | None = param(None, "64 hex digits that draw the pattern; none: drawn")
    side: int | None = param(None, "side of the corner, pixels; none: an eighth of the image's", ge=1, le=256)
    strength: float = param(1.0, "how much a raised value is raised, of the whole range", ge=0.01, le=1)
    corner: str = param("bottom-right", "which corner", choices=CORNERS)

    def make(self, data: DefenderView, run: Run) -> Key:
        side = self.side or max(2, data.spec.size // 8)
        key = TriggerKey(_secret.choose(self.secret, run), side, self.strength, self.corner)
        key.place(data.spec.size, data.spec.size)
        return key

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        if "none" in value:
            return Identity()
        return TriggerKey(**{name: own for name, own in value.items() if name != "method"})
