"""Numbers of records by other people: text, NaN or a huge integer where a number is due is no number."""

from __future__ import annotations

import math
from typing import Any


def real(value: Any) -> float | None:
    """``value`` as a finite float, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def finite(value: Any) -> int | float | None:
    """``value`` itself where it is a finite number, else None."""
    return None if real(value) is None else value
