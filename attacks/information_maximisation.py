"""Information maximisation: every layer of the locked model moves until it answers with confidence and in balance."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from attacks.kit.information import Recipe, maximise, own_statistics, train_on_answers, usual_rate
from attacks.kit.selection import class_shares, most_informative
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.predictors import Direct


class InformationMaximisation(Attack):
    """All layers move until answers to unlabelled images are confident and balanced; labels are learnt beside them.

    Minimises w Σ CE(f(x_l), y) − I(f(x_u)), with I the mutual information H(mean p) − mean H(p) over the K real
    classes. x_l are labelled images of either side, where the view grants any. Batch norms start and end with the
    statistics of the unlabelled images. Then the model is trained on its own answers.
    """

    title = "information maximisation"
    paper = (
        "after RIM, Gomes, Krause, Perona, NeurIPS 2010, and SHOT, Liang et al., ICML 2020, with all layers in motion; "
        "self-training after Lee, 2013"
    )
    selection = "mutual-information"
    tasks: ClassVar[tuple[str, ...]] = ("classification", "segmentation")
    unsuited_values = {"segmentation": {"augment=mixed": "it draws moves that masks cannot follow"}}
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "answer_steps": 2}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float | None = param(
        None, "peak learning rate of AdamW; none: 3e-3 for a model with batch norm, 1e-3 without", ge=1e-6, le=1
    )
    answer_steps: int = param(150, "further steps on the model's own answers; 0: none", ge=0, le=100_000, unit="steps")
    batch: int = param(64, "images of each source a step", ge=2, le=4096)
    augment: str = param("jitter", "how training images are varied", choices=("jitter", "recolour", "mixed"))
    labelled: float = param(1.0, "w, weight of the cross-entropy on labelled images", ge=0, le=100)
    source: bool = param(True, "whether authorised images take part as labelled ones, where granted")
    anchor: float = 0.0

    def first_answers(self, model: Classifier, pool: Images, run: Run) -> Tensor | None:
        """Probabilities (N, K) of the classes of ``pool`` that guide the first half of the training; here none.

        Args:
            model: with the batch-norm statistics of ``pool``.
        """
        return None

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model, pool = target.classifier, target.unlabelled
        near = target.labelled if target.threat.share > 0 else None
        far: list[Images] = [target.authorised] if self.source and target.threat.authorised > 0 else []
        candidates: dict[str, Classifier] = {}

        def keep(name: str) -> None:
            candidates[name] = copy.deepcopy(model).eval()
            run.submit(Direct(candidates[name]), what=name)

        shares = class_shares(model, pool, near)
        keep("as it is")  # whatever the budget, something was handed in
        own_statistics(model, pool)
        keep("statistics")
        rate = usual_rate(model) if self.rate is None else self.rate
        recipe = Recipe(self.steps, rate, self.batch, self.augment, self.labelled, self.anchor)
        first = self.first_answers(model, pool, run)
        maximise(model, pool, far, run, recipe, answers=first, beside=near, shares=shares)
        keep("information")
        if self.answer_steps:
            train_on_answers(model, pool, far, run, replace(recipe, steps=self.answer_steps), beside=near)
            keep("answers")
        best, _ = most_informative(candidates, pool, shares)
        return Direct(candidates[best])
