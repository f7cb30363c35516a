"""No lock: the victim as it is."""

from __future__ import annotations

from bench.contracts import Classifier, DefenderView, Key, Lock, Run


class NoLock(Lock):
    """The victim without any protection: all costs are measured against it."""

    title = "no lock"
    role = "control"
    purpose = "victim"
    tasks = ("classification", "segmentation")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        return victim
