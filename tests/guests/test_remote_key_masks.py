"""A guest's key on masks: it is asked for positions, and never sees a mask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.guests.failure import InvalidResult
from bench.guests.remote_key import RemoteKey


def _key(move: Any) -> tuple[RemoteKey, list[torch.Tensor]]:
    seen: list[torch.Tensor] = []

    def call(kind: str, body: Any, tensors: Any) -> Any:
        seen.append(tensors["masks"])
        return SimpleNamespace(tensors={"masks": move(tensors["masks"])})

    key = RemoteKey.__new__(RemoteKey)
    key._guest, key._what = SimpleNamespace(call=call), "key x"  # type: ignore[assignment]
    return key, seen


def test_masks_follow_the_positions() -> None:
    masks = torch.randint(5, (3, 4, 6), generator=torch.Generator().manual_seed(0))
    key, seen = _key(lambda places: places.flip(2))
    assert torch.equal(key.labels(masks), masks.flip(2))
    assert [tuple(x.shape) for x in seen] == [(1, 4, 6)]
    assert seen[0].flatten().tolist() == list(range(24)), "positions, and no class"


def test_what_is_no_position_is_refused() -> None:
    key, _ = _key(lambda places: places + 1)
    with pytest.raises(InvalidResult, match="that were not there"):
        key.labels(torch.zeros(2, 4, 4, dtype=torch.int64))
