"""An attack for tests: it forks children that stay, one in a session of its own, and gives a constant answer."""

from __future__ import annotations

import os
import time

from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import Constant


class Forking(Attack):
    """Children that stay, and a constant answer."""

    paper = "ours"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False}
    seconds: float = param(0.5, "how long it takes", ge=0, le=10_000)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        for own in (False, True):
            if os.fork() == 0:
                if own:
                    os.setsid()
                time.sleep(10_000)
        time.sleep(self.seconds)
        return Constant(target.spec.k)
