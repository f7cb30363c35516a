"""No attack: the locked model as it is handed out."""

from __future__ import annotations

from attacks.kit.access import handle
from bench.contracts import Attack, AttackerView, Predictor, Run, ThreatModel


class NoAttack(Attack):
    """The locked model on raw images: LP, by way of an attack."""

    title = "no attack"
    role = "control"
    selection = "none"
    defaults = {"threat.share": 0.0, "threat.unlabelled": False, "threat.wordlist": "none", "threat.known": "none"}

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access != "none"

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        return handle(target)
