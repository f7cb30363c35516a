"""The patch key of NTL: one channel raised on a lattice of pixels.

Wang et al., "Non-Transferable Learning", ICLR 2022, arXiv 2106.06916.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run, param
from bench.keys.none import Identity


@dataclass(frozen=True)
class PatchKey:
    """x -> clip(x + value / 255) in one channel wherever row or column is a multiple of ``every``.

    It moves no pixel, so masks stay as they are.
    """

    comes_last: ClassVar[bool] = True

    value: int
    channel: int = 0
    every: int = 2

    def __call__(self, images: Tensor) -> Tensor:
        rows, columns = (torch.arange(n, device=images.device) % self.every == 0 for n in images.shape[2:])
        lattice = (rows[:, None] | columns[None, :]).to(images.dtype)
        out = images.clone()
        out[:, self.channel] = (out[:, self.channel] + lattice * (self.value / 255)).clamp(0, 1)
        return out

    def parts(self) -> dict[str, Any]:
        return {"settings": {"channel": self.channel, "every": self.every}}

    def to_json(self) -> dict[str, Any]:
        return {"method": "patch", "value": self.value, "channel": self.channel, "every": self.every}

    def describe(self) -> str:
        return f"value {self.value}, channel {self.channel}, every {self.every}"

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        """A weaker and a stronger patch (near), another channel, another lattice, a plain tint (wrong)."""
        rng = random.Random(seed)
        other = rng.choice([c for c in range(3) if c != self.channel])
        keys: dict[tuple[str, str], Key] = {
            ("none", ""): Identity(),
            ("near", "half"): replace(self, value=max(1, self.value // 2)),
            ("near", "stronger"): replace(self, value=min(255, self.value * 3 // 2)),
            ("wrong", "channel"): replace(self, channel=other),
            ("wrong", "lattice"): replace(self, every=self.every + 1),
            ("wrong", "tint"): replace(self, every=1, value=max(1, self.value * 3 // 4)),
        }
        return [KeyCondition(kind, label, key) for (kind, label), key in keys.items()]


class Patch(KeyMethod):
    """A faint lattice on one colour channel, no editor and no secret worth the name."""

    title = "patch key"
    paper = "NTL, Wang et al., ICLR 2022, arXiv 2106.06916"

    own = ("value",)

    value: int | None = param(
        None, "how much the channel is raised, of 255; none: from 20 to 80 by the key seed", ge=1, le=255
    )
    channel: int = param(0, "the channel: 0 red, 1 green, 2 blue", ge=0, le=2)

    def make(self, data: DefenderView, run: Run) -> Key:
        sample = int(torch.randint(20, 81, (1,), generator=run.rng("key")))
        return PatchKey(self.value if self.value is not None else sample, self.channel)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        if "none" in value:
            return Identity()
        return PatchKey(value["value"], value["channel"], value["every"])
