"""A lock for tests that notes when it starts and waits a while, so that a test can kill where it runs."""

from __future__ import annotations

import time

from slow_helper import note

from bench.contracts import Classifier, DefenderView, Key, Lock, Run, param
from bench.models import widen


class SlowLock(Lock):
    """The victim with an output more, after a while."""

    paper = "ours"
    key = "tint"
    seconds: float = param(1.0, "how long it waits", ge=0, le=600)
    notes: str = param("", "folder in which it notes that it is at work")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        note(self.notes, "protect")
        time.sleep(self.seconds)
        return widen(victim, 1, run.seed("extra"))
