"""The domain key: the right to use images of one domain. It changes no image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run
from bench.keys.none import Identity


class InDomain(Identity):
    """Leaves images as they are: what is authorised is where they come from."""

    def to_json(self) -> dict[str, Any]:
        return {"method": "domain", "none": "images of the source domain"}

    def conditions(self, seed: int) -> list[KeyCondition]:
        return [KeyCondition("none", "", self)]


class Domain(KeyMethod):
    """Authorised are the images of the source domain; those of the target are not."""

    title = "domain key"
    role = "control"
    pair = True

    def make(self, data: DefenderView, run: Run) -> Key:
        return InDomain()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        return InDomain()
