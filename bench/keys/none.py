"""No key: authorised images are the raw ones. For auditing a model whose key one does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run


@dataclass(frozen=True)
class Identity:
    """Leaves images as they are."""

    def __call__(self, images: Tensor) -> Tensor:
        return images

    def parts(self) -> dict[str, Any]:
        return {}

    def describe(self) -> str:
        return str(self.to_json()["none"])

    def megabytes(self) -> float:
        return 0.0

    def to_json(self) -> dict[str, Any]:
        return {"method": "none", "none": "no key"}

    def conditions(self, seed: int) -> list[KeyCondition]:
        return []


class NoKey(KeyMethod):
    """The identity: nothing is authorised apart from the rest."""

    title = "no key"
    role = "control"

    def make(self, data: DefenderView, run: Run) -> Key:
        return Identity()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        return Identity()
