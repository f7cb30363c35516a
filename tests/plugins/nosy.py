"""An attack for tests that asks for what it may not have, and swallows the answer."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from bench.contracts import Acceptance, AccessDenied, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import Constant, Queried


class Nosy(Attack):
    """Asks for what it may not have."""

    paper = "ours"
    selection = "last"
    defaults = {"threat.access": "labels", "threat.share": 0.0, "threat.unlabelled": False, "threat.wordlist": "none"}
    ask: str = param("nothing", "what it asks for")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        if self.ask == "late":
            time.sleep(0.6)
            return Constant(target.spec.k)
        names = [p.name for p in Path().iterdir()]
        if self.ask == "late end":
            run.submit(Constant(target.spec.k))
            time.sleep(0.6)
            return Queried(target.spec.k)
        run.submit(Constant(target.spec.k), where=names, home=sorted(os.environ))
        if self.ask == "crash":
            os._exit(7)
        if self.ask == "raise":
            raise RuntimeError("the attack fails on request")
        if self.ask == "query":
            import torch

            for _ in range(100):
                target.query(torch.zeros(10, 3, 32, 32))
        if self.ask != "nothing":
            with contextlib.suppress(AccessDenied):
                what = getattr(target, self.ask)
                what() if callable(what) else None
        return Queried(target.spec.k)
