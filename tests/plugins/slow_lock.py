"""A lock and an attack for tests that note when they start and wait a while, so that a test can kill where they run."""

from __future__ import annotations

import time

from slow_helper import note

from bench.contracts import Acceptance, Attack, AttackerView, Classifier, DefenderView, Key, Lock, Predictor
from bench.contracts import Run, ThreatModel, param
from bench.models import widen
from bench.predictors import Constant


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


class SlowAttack(Attack):
    """One class for everything, after a while."""

    paper = "ours"
    selection = "last"
    defaults = {"threat.access": "weights", "threat.share": 0.1}
    seconds: float = param(1.0, "how long it waits", ge=0, le=600)
    variant: int = param(0, "tells one attack from another", ge=0, le=1000)
    notes: str = param("", "folder in which it notes that it is at work")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        note(self.notes, "unlock")
        time.sleep(self.seconds)
        return Constant(target.spec.k)
