"""A key for tests that needs no editor: a little more red."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run, param


@dataclass(frozen=True)
class Red:
    amount: float

    def __call__(self, images: Tensor) -> Tensor:
        return (images + self.amount * torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1)).clamp(0, 1)

    def parts(self) -> dict[str, Any]:
        return {"settings": {"amount": self.amount}}

    def to_json(self) -> dict[str, Any]:
        return {"method": "tint", "amount": self.amount}

    def describe(self) -> str:
        return f"amount {self.amount}"

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        return [
            KeyCondition("none", "", Red(0.0)),
            KeyCondition("setting", "amount", Red(-self.amount)),
            KeyCondition("wrong", "by-seed", Red(seed % 97 / 1000)),
        ]


class Tint(KeyMethod):
    """A little more red."""

    paper = "ours"
    amount: float = param(0.4, "how much more", ge=0, le=1)

    def make(self, data: DefenderView, run: Run) -> Key:
        return Red(self.amount)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        return Red(value["amount"])
