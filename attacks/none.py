"""No attack: the locked model as it is handed out."""

from __future__ import annotations

from attacks.kit.access import ANSWERS, handle
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel


class NoAttack(Attack):
    """The locked model as it is, on raw images."""

    title = "no attack"
    role = "control"
    purpose = "no-attack"
    selection = "none"
    tasks = ("classification", "segmentation")
    defaults = {"threat.share": 0.0, "threat.unlabelled": False, "threat.wordlist": "none", "threat.known": "none"}

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(ANSWERS)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        return handle(target)
