"""An attack for tests that hands in the public model that it is given."""

from __future__ import annotations

from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel
from bench.predictors import Direct


class ShowsPublic(Attack):
    """Hands in the public model as it is."""

    paper = "ours"
    selection = "last"

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        return Direct(target.public_model())
