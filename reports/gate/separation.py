"""How many seeds must lie beyond all others, whatever their distribution: an exact test of precedence.

Where nothing has changed, every order of m new and S old seeds is as likely as any other. So the j largest are all new
with a chance of ``m (m − 1) … (m − j + 1) / ((m + S) (m + S − 1) … (m + S − j + 1))``. A tie counts as not beyond.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CHANCE = 1 / 45
"""Most that seeds may be apart by luck: two new ones lie beyond all of eight old ones with this chance."""


@lru_cache(maxsize=256)
def least_beyond(new: int, old: int) -> int:
    """The least number of ``new`` seeds beyond all ``old`` ones that luck brings with a chance of at most `CHANCE`.

    All of them, where so few seeds cannot show it: the gate takes no fewer than two against eight.
    """
    chance = 1.0
    for j in range(new):
        chance *= (new - j) / (new + old - j)
        if chance <= CHANCE * (1 + 1e-9):
            return j + 1
    return new


def separated(new: NDArray[np.float64], old: NDArray[np.float64]) -> bool:
    """Whether enough ``new`` values (m,) are larger than every ``old`` one (S,)."""
    return int((new > old.max()).sum()) >= least_beyond(len(new), len(old))


def least_shift(new: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each draw of ``new`` values (D, m), the shift beyond which they are separated from ``old`` (S,): (D,)."""
    return np.asarray(old.max() - np.sort(new, axis=1)[:, -least_beyond(new.shape[1], len(old))])
