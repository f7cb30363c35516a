"""Canonicalisation: unauthorised images are brought to the look that the locked model answers best."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.kit.access import ask, handle
from attacks.kit.canonical import Canonical, Look
from attacks.kit.front import InFront
from attacks.kit.input import subset
from attacks.kit.likeness import likeness
from attacks.kit.looks import information_score, label_score, search
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param


class Canonicalise(Attack):
    """A search over generic changes of the images, in front of the unchanged model.

    Changes are: grey, polarity of the ground, contrast, crop to the content, block means, blur, gain, gamma, and the
    spectrum. A combination is scored on the attacker's own images. Where some have labels, their log-probability counts
    and the mutual information of the others. Without labels, mutual information and mass of the K real classes count,
    and likeness to authorised images where there are any.
    """

    title = "canonicalisation"
    paper = "ours; the score after SHOT, Liang et al., ICML 2020"
    selection = (
        "labels-or-information",
        "highest log-probability of the attacker's labels; without labels, most information in answers, and likeness "
        "to authorised images where there are any",
    )
    against = ("ntl", "cuti", "cupi", "h-ntl", "map")
    unsuited = "looks crop and move images, and a mask cannot follow a crop that each image has of its own"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"beam": 1, "rounds": 0, "probe": 8}

    beam: int = param(3, "combinations that are kept between rounds", ge=1, le=64)
    rounds: int = param(2, "passes over the changes that are tried one by one", ge=0, le=10)
    probe: int = param(
        200, "images that combinations are scored on, of each kind: labelled or not", ge=2, le=4096, unit="images"
    )
    likeness: float = param(0.5, "weight of the likeness to authorised images, where no image has labels", ge=0, le=10)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights", "logits"), images=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        run.submit(handle(target), what="as it is")  # whatever the budget, something was handed in
        best, _ = self.looks(target, run)[0]
        return InFront.of(handle(target), Canonical.of(best))

    def looks(self, target: AttackerView, run: Run) -> list[tuple[Look, float]]:
        """Looks with their scores, best first; every better one is submitted on the way."""
        k, (images, labels) = target.spec.k, self._probe(target, run)
        if labels is None:
            like = likeness(target, run, images) if target.threat.authorised else None
            score = information_score(k, like, self.likeness)
        else:
            score = label_score(labels, k)
        best = -math.inf

        def report(count: int, look: Look, value: float) -> None:
            nonlocal best
            if value > best:
                best = value
                run.submit(InFront.of(handle(target), Canonical.of(look)), score=round(value, 4), **look.changes)
            run.progress(count, count, "looks")

        return search(images, lambda x: ask(target, x), score, self.beam, self.rounds, report)

    def _probe(self, target: AttackerView, run: Run) -> tuple[Tensor, Tensor | None]:
        """Images to score on, labelled ones first, and the labels of those; None where no image has any."""
        labelled = subset(target.labelled, self.probe, run.rng("labelled")) if target.threat.share > 0 else None
        sets = [] if labelled is None else [labelled]
        if target.threat.unlabelled:
            sets.append(subset(target.unlabelled, self.probe, run.rng("probe")))
        return torch.cat([s.images for s in sets]), None if labelled is None else labelled.labels
