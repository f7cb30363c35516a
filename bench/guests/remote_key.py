"""A key whose method is a guest: it is applied in a process that gets images and nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench import registry, session
from bench.contracts import KeyCondition
from bench.guests import checks
from bench.guests.process import Guest
from bench.plugin_source import PluginInfo


class RemoteKey:
    """A key in a guest's process; `bench.contracts.Key` documents every method.

    Args:
        info: the key method.
        value: the key's JSON form.
    """

    def __init__(self, info: PluginInfo, value: Mapping[str, Any]) -> None:
        guest = Guest("bench.guests.answering:key", f"key {info.name}").__enter__()
        self._end = weakref.finalize(self, guest.end)
        body = {
            "plugin_files": list(registry.current().files),
            "method": info.name,
            "value": dict(value),
            "device": session.current.device,
            "threads": torch.get_num_threads(),
        }
        facts = guest.call("load", body).body
        self._guest, self._facts, self._what = guest, facts, f"key {info.name}"

    def __call__(self, images: Tensor) -> Tensor:
        return self.changed(images, 0)

    def changed(self, images: Tensor, at: int) -> Tensor:
        """``images`` after the key number ``at``: 0 is this key, others are its conditions.

        Raises:
            InvalidResult: what came back are no images.
        """
        answer = self._guest.call("apply", {"at": at}, {"images": images}).tensors.get("images")
        return checks.images(answer, images, self._what).clamp(0, 1).to(images.device)

    def labels(self, masks: Tensor) -> Tensor:
        return self.moved(masks, 0)

    def moved(self, masks: Tensor, at: int) -> Tensor:
        """Masks (N, H, W) int64 after the key number ``at``, as `changed` counts them.

        The guest is asked where each pixel goes, and never sees a mask.

        Raises:
            InvalidResult: what came back are no positions.
        """
        places = torch.arange(masks[0].numel()).view(1, *masks.shape[1:])
        answer = self._guest.call("labels", {"at": at}, {"masks": places}).tensors.get("masks")
        return masks.flatten(1)[:, checks.masks(answer, places, self._what).flatten()].view(masks.shape)

    def parts(self) -> dict[str, Any]:
        return dict(self._facts["parts"])

    def to_json(self) -> dict[str, Any]:
        return dict(self._facts["json"])

    def describe(self) -> str:
        return str(self._facts["describe"])

    def megabytes(self) -> float:
        return float(self._facts["megabytes"])

    def conditions(self, seed: int) -> Sequence[KeyCondition]:
        found = self._guest.call("conditions", {"at": 0, "seed": seed}).body["conditions"]
        return [
            KeyCondition(str(c["kind"]), str(c["label"]), RemoteCondition(self, int(c["at"]), str(c["describe"])))
            for c in found
        ]


class RemoteCondition:
    """Another key in the process of a `RemoteKey`."""

    def __init__(self, key: RemoteKey, at: int, description: str) -> None:
        self._key, self._at, self._description = key, at, description

    def __call__(self, images: Tensor) -> Tensor:
        return self._key.changed(images, self._at)

    def labels(self, masks: Tensor) -> Tensor:
        return self._key.moved(masks, self._at)

    def parts(self) -> dict[str, Any]:
        return {}

    def to_json(self) -> dict[str, Any]:
        return {"condition": self._description}

    def describe(self) -> str:
        return self._description

    def megabytes(self) -> float:
        return self._key.megabytes()

    def conditions(self, seed: int) -> Sequence[KeyCondition]:
        return []
