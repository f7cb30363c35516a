"""Interpolation: weights on the line from the locked model to the public one."""

from __future__ import annotations

import copy

import torch

from attacks.kit.selection import most_accurate, most_informative
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
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
        candidates = {"t=0": model}
        for i in range(self.points):
            t = self.furthest * i / (self.points - 1)
            mix = mixture(model, public, t)
            if statistics:
                models.reestimate_batch_norm(mix, own)
            if t > 0 or statistics:
                candidates[f"t={t:.3g}" + (", statistics" if statistics else "")] = mix
            run.progress(i + 1, self.points, "mixtures")
        if target.threat.share > 0:  # nothing was trained, so every labelled image may choose
            best, scores = most_accurate(candidates, target.labelled)
        else:
            best, scores = most_informative(candidates, target.unlabelled)
        run.submit(Direct(candidates[best]), what=best, scores=scores)
        return Direct(candidates[best])


@torch.no_grad()
def mixture(locked: Classifier, public: Classifier, t: float) -> Classifier:
    """(1 − t) locked + t public of every floating tensor of equal name and shape but the head, which stays locked."""
    mix = copy.deepcopy(locked)
    head, other = set(models.head_names(locked)), public.state_dict()
    for name, value in mix.state_dict().items():
        if name not in head and value.is_floating_point() and name in other and other[name].shape == value.shape:
            value.copy_((1 - t) * value + t * other[name].to(value.device))
    return mix.eval()
