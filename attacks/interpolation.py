"""Interpolation: weights on the line from the locked model to the public one."""

from __future__ import annotations

import copy
from functools import partial

import torch

from attacks.kit.selection import Best, accuracy, class_shares, information
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.parameters import counterparts
from bench.predictors import Direct


class Interpolation(Attack):
    """A mixture of locked and public weights; nothing is trained.

    A mixture is (1 − t) locked + t public, under the locked head. Batch-norm statistics of every mixture are estimated
    anew on unlabelled images, or on the labelled ones.
    """

    title = "interpolation"
    paper = "after Wortsman et al.: Robust fine-tuning of zero-shot models (WiSE-FT), CVPR 2022"
    selection = "own-labels-or-mutual-information"
    deviations = ("towards public weights under the locked head: a public model has no head for the task",)
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"points": 3}

    points: int = param(11, "values of t, evenly from 0 on", ge=2, le=101)
    furthest: float = param(1.0, "the last t", ge=0.01, le=2)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), images=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        public = target.public_model(model.extra).to(run.device)
        statistics = models.has_batch_norm(model)
        own = target.unlabelled if target.threat.unlabelled else target.labelled
        if target.threat.share > 0:  # nothing was trained, so every labelled image may choose
            best = Best(partial(accuracy, images=target.labelled))
        else:
            shares = class_shares(model, target.unlabelled)
            best = Best(partial(information, images=target.unlabelled, shares=shares))
        best.add("t=0", model)
        for i in range(self.points):
            t = self.furthest * i / (self.points - 1)
            mix = mixture(model, public, t)
            if statistics:
                models.reestimate_batch_norm(mix, own)
            if t > 0 or statistics:
                best.add(f"t={t:.3g}" + (", statistics" if statistics else ""), mix)
            run.progress(i + 1, self.points, "mixtures")
        run.submit(Direct(best.model), what=best.name, scores=best.scores)
        return Direct(best.model)


@torch.no_grad()
def mixture(locked: Classifier, public: Classifier, t: float) -> Classifier:
    """(1 − t) locked + t public of every floating tensor of equal name and shape but the head, which stays locked."""
    mix = copy.deepcopy(locked)
    state = mix.state_dict()
    for name, other in counterparts(locked, public, head=False).items():
        value = state[name]
        if value.is_floating_point():
            value.copy_((1 - t) * value + t * other.to(value.device))
    return mix.eval()
