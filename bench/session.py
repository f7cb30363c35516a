"""How this process computes: its device, precision and cache of edited images, set once by whoever runs things.

No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Session:
    """Device and precision of the models that keys and predictors run, and the file that caches what they make."""

    device: str = "cpu"
    dtype: str = "float32"
    cache: Path | None = None


current = Session()
"""The session of this process."""


def use(device: str = "cpu", dtype: str = "float32", cache: Path | None = None) -> None:
    """From now on, compute on ``device`` in ``dtype``, with the cache at ``cache``; None: no cache."""
    current.device, current.dtype, current.cache = device, dtype, cache
