"""How long something takes, for ratios within one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(what: Callable[[], Any], times: int = 3) -> float:
    """Wall seconds of the fastest of ``times`` calls."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        what()
        best = min(best, time.perf_counter() - start)
    return best
