"""The public baseline: what the attacker's data and public weights reach without the locked model."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass

import torch.nn.functional as F
from torch import Tensor

from attacks.kit.pseudo_labels import with_pseudo_labels
from attacks.kit.students import all_labelled, student
from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.predictors import Constant, Direct


@dataclass(frozen=True)
class Trial:
    """Where training starts, its peak rate, whether the head goes first, whether pseudo-labels are trained on too."""

    start: str
    rate: float
    head_first: bool = False
    pseudo: bool = False


TRIALS = (
    Trial("public", 1e-3, head_first=True),
    Trial("public", 1e-3, head_first=True, pseudo=True),
    Trial("public", 1e-3),
    Trial("random", 1e-3),
    Trial("public", 3e-4, head_first=True),
    Trial("public", 3e-3, head_first=True),
    Trial("public", 3e-4, head_first=True, pseudo=True),
    Trial("public", 3e-3, head_first=True, pseudo=True),
    Trial("public", 3e-4),
    Trial("public", 3e-3),
    Trial("random", 3e-3),
    Trial("random", 3e-4),
)
"""In the order in which they are tried; the first trains the teacher of the pseudo-labels."""


class FromScratch(Attack):
    """What the attacker's data and public weights reach without the locked model.

    Public and random weights are trained on every labelled image of the view, then on pseudo-labels as well. Every
    trial is handed in, and the judge takes the best on judge-validation images. No attack has that choice, so an
    advantage over the public baseline is not one of luck.
    """

    title = "public baseline"
    role = "control"
    purpose = "public-baseline"
    selection = "judge-validation"
    defaults = {"threat.access": "none", "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "trials": 2}

    steps: int = param(400, "optimiser steps of each trial, as many as fine-tuning has", ge=1, le=100_000, unit="steps")
    trials: int = param(4, "ways to train that are tried, of the list in this file", ge=1, le=12)
    pseudo_share: float = param(0.5, "most confident share of each pseudo-class that is trained on", ge=0.05, le=1)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        labelled = all_labelled(target)
        if labelled is None:
            return Constant(target.spec.k)
        last: Predictor = Constant(target.spec.k)
        teacher: Classifier | None = None
        for trial in TRIALS[: self.trials]:
            data = labelled
            if trial.pseudo:
                if teacher is None or not target.threat.unlabelled:
                    continue
                data = with_pseudo_labels(teacher, labelled, target.unlabelled, self.pseudo_share)
            model = student("same", trial.start, target, run)
            self._train(model, data, run, trial.rate, trial.head_first, str(trial))
            if teacher is None:
                teacher = copy.deepcopy(model)
            last = Direct(model)
            run.submit(last, **asdict(trial))
        return last

    def _train(self, model: Classifier, data: Images, run: Run, rate: float, head_first: bool, name: str) -> None:
        def loss(batch: Batch) -> Tensor:
            return F.cross_entropy(model(batch.images), batch.labels)

        steps = self.steps
        if head_first:  # a linear probe before all layers move: the better start with few labels
            probe = [model.get_parameter(n) for n in models.head_names(model)]
            run.fit(
                model, loss, steps // 2, data,
                rate=1e-2, augment=jitter, name=f"{name}/head", parameters=probe, train_mode=False,
            )  # fmt: skip
        run.fit(model, loss, steps, data, rate=rate, augment=jitter, name=name)
