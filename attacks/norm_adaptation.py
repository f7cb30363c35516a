"""Norm adaptation: batch-norm statistics re-estimated, then entropy and class balance on the norm layers; no labels."""

from __future__ import annotations

import copy

from torch import Tensor

from attacks.kit.norms import affine_parameters
from attacks.kit.selection import most_informative, mutual_information
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class NormAdaptation(Attack):
    """The norm layers adapt to unlabelled raw images.

    Minimises H(p) − H(mean p) over the K real classes: every answer confident, all classes used. In segmentation all
    objects are used, and the share of class 0, the background, is free.
    """

    title = "norm adaptation"
    paper = (
        "after TENT, Wang et al., ICLR 2021 (entropy on norm layers), and SHOT, Liang et al., ICML 2020 (class balance)"
    )
    selection = "mutual-information"
    deviations = ("adapts once on pool images, not online on the test stream",)
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(200, "optimiser steps", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-2, "peak learning rate of AdamW", ge=1e-6, le=1)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        images = target.unlabelled
        model = target.classifier
        candidates = {"as it is": copy.deepcopy(model)}
        if models.has_batch_norm(model):
            models.reestimate_batch_norm(model, images)
            candidates["statistics"] = copy.deepcopy(model)
            run.submit(Direct(candidates["statistics"]), what="statistics")
        affine = affine_parameters(model)

        def loss(batch: Batch) -> Tensor:
            return -mutual_information(model.logits(batch.images))

        if affine and self.steps:
            run.fit(
                model, loss, self.steps, images,
                rate=self.rate, decay=0.0, batch=128, parameters=affine, train_mode=False, name="adapt",
            )  # fmt: skip
            candidates["adapted"] = model
            run.submit(Direct(model), what="adapted")
        best, _ = most_informative(candidates, images)
        return Direct(candidates[best])
