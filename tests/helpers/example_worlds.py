"""Whole made-up stores with noise between seeds and between images, for gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from example_records import measured, record
from numpy.typing import NDArray

from bench.records import Record

IMAGES = 360
LOCKS = {"modellock": (88.0, 25.0), "none": (92.0, 92.0), "destroyed": (10.0, 10.0), "permuted-logits": (3.0, 2.0)}
"""UP and LP by lock, percent."""
ATTACKS = {
    ("modellock", "prompt-search"): 84.0,
    ("modellock", "logit-surgery"): 60.0,
    ("none", "from-scratch"): 40.0,
    ("destroyed", "prompt-search"): 10.0,
    ("permuted-logits", "logit-surgery"): 92.0,
}
"""RP, percent."""
DEVIATION = 1.5
"""Points between seeds that all images share."""


class World:
    """Records of all locks and attacks with their evidence.

    Args:
        seeds: replicates.
        noise: seed of everything that a rerun would draw anew; the test images stay the same.
        locks, attacks: percent, where they differ from `LOCKS` and `ATTACKS`.
        deviation: points between seeds.
        victim: percent, on both sides.
        more: fields of every record.
    """

    def __init__(
        self,
        seeds: Iterable[int],
        noise: int,
        locks: Mapping[str, tuple[float, float]] | None = None,
        attacks: Mapping[tuple[str, str], float] | None = None,
        deviation: float = DEVIATION,
        victim: float = 92.0,
        **more: Any,
    ) -> None:
        self.records: list[Record] = []
        self._evidence: dict[str, dict[str, NDArray[Any]]] = {}
        self.rng = np.random.default_rng(noise)
        self.deviation = deviation
        hardness = np.random.default_rng(0).normal(0, 1, IMAGES)
        labels = np.random.default_rng(1).integers(0, 10, IMAGES)
        for seed in seeds:
            right = self._right(victim, hardness)
            for lock, (up, lp) in {**LOCKS, **(locks or {})}.items():
                sides = {"UP": self._right(up, hardness), "LP": self._right(lp, hardness)}
                sides |= {"oracle": right, "victim_authorised": right}
                self._add(lock, "none", seed, {**sides, "RP": sides["LP"]}, labels, more)
                for (over, attack), rp in {**ATTACKS, **(attacks or {})}.items():
                    if over == lock:
                        after = sides["LP"] if rp < 0 else self._right(rp, hardness)  # below 0: the model handed back
                        self._add(lock, attack, seed, {**sides, "RP": after}, labels, more)

    def _right(self, percent: float, hardness: NDArray[Any]) -> NDArray[np.bool_]:
        """Mostly the same images, as models that are trained alike get."""
        wanted = np.clip(percent + self.rng.normal(0, self.deviation), 0, 100)
        score = hardness + self.rng.normal(0, 0.5, IMAGES)
        return np.asarray(score <= np.quantile(score, wanted / 100))

    def _add(
        self,
        lock: str,
        attack: str,
        seed: int,
        right: Mapping[str, NDArray[np.bool_]],
        labels: NDArray[Any],
        more: Mapping[str, Any],
    ) -> None:
        values = {name: measured(100.0 * float(r.mean()), IMAGES) for name, r in right.items()}
        measurement = record(lock, attack, seed).model_copy(update={**values, **more})
        measurement.provenance.data_fingerprint = f"data-{seed}"
        self.records.append(measurement)
        evidence = {f"pred/{name}": np.where(r, labels, (labels + 1) % 10) for name, r in right.items()}
        index = np.arange(IMAGES)[::-1]
        self._evidence[measurement.hash] = {"test_index": index, "test_labels": labels, **evidence}

    def evidence(self, record: Record) -> Mapping[str, NDArray[Any]]:
        """As a store gives it."""
        return self._evidence[record.hash]
