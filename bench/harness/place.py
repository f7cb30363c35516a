"""Where stages fit: the cards of a machine, or its processors, and how much of their memory the stages at work take."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

SHARE = 0.9
"""Of the memory, what stages may take together."""


@dataclass
class Place:
    """One card, or the processors.

    Args:
        card: the GPU, as ``CUDA_VISIBLE_DEVICES`` names it; None: the processors.
        gigabytes: 10^9 bytes of its memory; None: not known, and no limit.
        at_work: estimated 10^9 bytes of each stage that runs there.
    """

    card: str | None
    gigabytes: float | None
    at_work: list[float] = field(default_factory=list)

    def fits(self, gigabytes: float) -> bool:
        """Whether one more stage fits; a stage that is larger than the place runs there alone."""
        if not self.at_work or self.gigabytes is None:
            return True
        return sum(self.at_work) + gigabytes <= SHARE * self.gigabytes


def places(cards: Sequence[int]) -> list[Place]:
    """A place for each of ``cards``, counted among those that this process may see; without cards, the processors."""
    if not cards:
        return [Place(None, _main_memory())]
    seen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = [seen[card] if card < len(seen) else str(card) for card in cards]
    sizes = _card_memory()
    return [Place(name, sizes.get(name)) for name in names]


def _main_memory() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError):
        return None


def _card_memory() -> dict[str, float]:
    """10^9 bytes of each GPU, by its number and by its UUID; empty where ``nvidia-smi`` does not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    query = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        rows = [[part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()]
        return {name: float(mebibytes) * 2**20 / 1e9 for index, uuid, mebibytes in rows for name in (index, uuid)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
