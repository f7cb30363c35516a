"""Seeds by named axes: a plugin says which axes should move its seed, and a hash of them is the answer."""

from __future__ import annotations

import hashlib
import json
from typing import Any

TUNING_FROM = 1000
"""Replicates from here up are for tuning; they are judged on judge-validation images, never on test."""

AXES = ("split", "victim", "key", "lock", "attack")


def derive(axis: str, **axes: Any) -> int:
    """A seed in [0, 2**31) that depends on the name ``axis`` and on the named axes alone.

    Raises:
        TypeError, ValueError: an axis that JSON cannot say; its text may hold an address.

    >>> derive("victim", replicate=0, task="digits") == derive("victim", task="digits", replicate=0)
    True
    """
    text = json.dumps([axis, dict(sorted(axes.items()))], sort_keys=True, allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def of_conditions(key: str) -> int:
    """The seed that draws the near and wrong keys beside a key; ``key``: digest of its JSON form."""
    return derive("conditions", key=key)


def is_tuning(replicate: int) -> bool:
    """True for a replicate that only tuning may use."""
    return replicate >= TUNING_FROM
