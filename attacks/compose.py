"""Composition: a change of the images, then an adaptation of the model, then a map of its outputs."""

from __future__ import annotations

from attacks.canonicalise import Canonicalise
from attacks.disguise import Disguise
from attacks.distillation import Distillation
from attacks.fine_pruning import FinePruning
from attacks.finetune import FineTune
from attacks.information_maximisation import InformationMaximisation
from attacks.interpolation import Interpolation
from attacks.kit.composition import in_a_row
from attacks.logit_surgery import LogitSurgery
from attacks.mask_recovery import MaskRecovery
from attacks.norm_adaptation import NormAdaptation
from attacks.nrc import NRC
from attacks.realign import Realign
from attacks.shot import SHOT
from attacks.tent import Tent
from attacks.transntl import TransNTL
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param

TRANSFORMS: dict[str, type[Attack]] = {"canonicalise": Canonicalise, "disguise": Disguise}
ADAPTATIONS: dict[str, type[Attack]] = {
    "norm-adaptation": NormAdaptation,
    "tent": Tent,
    "shot": SHOT,
    "nrc": NRC,
    "information-maximisation": InformationMaximisation,
    "finetune": FineTune,
    "fine-pruning": FinePruning,
    "mask-recovery": MaskRecovery,
    "interpolation": Interpolation,
    "realign": Realign,
    "transntl": TransNTL,
    "disguise": Disguise,
    "distillation": Distillation,
}
OUTPUTS: dict[str, type[Attack]] = {"logit-surgery": LogitSurgery}


class Compose(Attack):
    """Attacks in a row: a transform of the images, an adaptation of the model to them, a map of its outputs.

    Each part is an attack of the suite with its defaults, and chooses by its own rule. It works on what the part
    before it handed back.
    """

    title = "composition"
    paper = "ours"
    selection = ("parts", "each part by its own rule")
    unsuited = "its first attack, canonicalise, moves pixels that masks cannot follow"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"adaptation": "interpolation"}

    transform: str = param("canonicalise", "what changes the images", choices=("none", "canonicalise", "disguise"))
    adaptation: str = param(
        "information-maximisation",
        "what trains the model",
        choices=(
            "none", "norm-adaptation", "tent", "shot", "nrc", "information-maximisation", "finetune", "fine-pruning",
            "mask-recovery", "interpolation", "realign", "transntl", "disguise", "distillation",
        ),
    )  # fmt: skip
    output: str = param("none", "what maps the outputs", choices=("none", "logit-surgery"))

    def parts(self) -> list[Attack]:
        """The attacks in order."""
        names = ((TRANSFORMS, self.transform), (ADAPTATIONS, self.adaptation), (OUTPUTS, self.output))
        return [table[name]() for table, name in names if name != "none"]

    def accepts(self, threat: ThreatModel) -> Acceptance:
        parts = self.parts()
        answer = Acceptance.when(parts, "transform, adaptation and output are all none: there is nothing to compose")
        answer &= Acceptance.when(
            self.adaptation != "tent" or self.output == "none",
            "adaptation=tent goes on while it answers, so no map of its outputs can be fitted",
        )
        for part in parts:
            answer &= part.accepts(threat)
        return answer

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        return in_a_row(self.parts(), target, run)
