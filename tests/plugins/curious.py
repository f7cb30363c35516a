"""An attack for tests that asks a language model, and tries nothing that it says."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from bench.contracts import Acceptance, AccessDenied, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import Constant


class Curious(Attack):
    """Asks a language model twice, and hands in a constant."""

    paper = "ours"
    selection = "last"
    language_model_if = {"proposer": ("llm",)}
    defaults = {"threat.access": "logits", "threat.language_model": True}
    proposer: str = param("llm", "who is asked", choices=("llm",))
    language_model: str = param("", "its name at the endpoint; empty: that of the environment")
    say: str = param("", "what it tries to send beside")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        first: Any = []
        with contextlib.suppress(AccessDenied):
            first = target.propose(3, {})
        for concept in first:
            run.guess(f"with {concept}")
        if first:
            target.propose(3, {first[0]: 0.5, **({self.say: 1.0} if self.say else {})})
        run.submit(Constant(target.spec.k), first=list(first), environment=sorted(os.environ))
        return Constant(target.spec.k)
