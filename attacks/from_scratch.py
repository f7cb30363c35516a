"""The public baseline: what the attacker's data and public weights reach without the locked model."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from attacks.kit.learner import AUGMENTS, Data, Learner
from attacks.kit.probe import linear_probe
from attacks.kit.selection import mutual_information
from attacks.kit.students import student
from attacks.kit.zero_shot import ZeroShot
from bench import models
from bench.augment import jitter
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.predictors import Constant, Direct


@dataclass(frozen=True)
class Trial:
    """One way to train.

    Args:
        start: ``public`` weights under the shared probe, ``random`` ones, or the ``best``: the model that is most
            informative of the pool so far.
        minimise: ``probe`` (nothing more than the shared probe), ``labels`` (their cross-entropy), ``information``
            (minus the mutual information of the pool as well), ``self-training`` (the cross-entropy of the best model's
            labels of the pool as well).
        augment: how images vary, one of `AUGMENTS`.
        rate: peak learning rate.
    """

    start: str
    minimise: str
    augment: str = "jitter"
    rate: float = 1e-3


TRIALS = (
    Trial("public", "probe"),
    Trial("public", "information"),
    Trial("public", "information", "recolour"),
    Trial("public", "labels"),
    Trial("best", "self-training", "recolour"),
    Trial("random", "information", rate=3e-3),
    Trial("public", "information", rate=3e-3),
    Trial("public", "information", "recolour", rate=3e-3),
    Trial("public", "labels", "recolour"),
    Trial("random", "information", "recolour", rate=3e-3),
    Trial("random", "labels"),
    Trial("best", "self-training"),
)
"""In the order in which they are tried. Where there is no pool, ``information`` is ``labels``."""


class FromScratch(Attack):
    """What the attacker's data and public weights reach without the locked model.

    CLIP answers from the names of the classes alone. A linear probe learns from features that are computed once. From
    there, and from random weights, each trial minimises the cross-entropy of the labels minus the mutual information
    of the unlabelled pool; a last one trains itself on the labels that the most informative of them gives the pool.
    Labels of the authorised side make it an adaptation from source to target: each side has its own batch statistics.

    Every trial is handed in, and the judge takes the best on judge-validation images. No attack has that choice, so an
    advantage over the public baseline is not one of luck.
    """

    title = "public baseline"
    role = "control"
    purpose = "public-baseline"
    selection = "judge-validation"
    assets = ("pack:clip",)
    defaults = {"threat.access": "none", "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "trials": 5, "probe_steps": 3}

    steps: int = param(160, "optimiser steps of each trial", ge=1, le=100_000, unit="steps")
    trials: int = param(5, "ways to train that are tried, of the list in this file", ge=1, le=12)
    batch: int = param(64, "unlabelled images a step, and half as many labelled ones of each side", ge=4, le=4096)
    copies: int = param(8, "jittered copies of each labelled image that the probe learns from", ge=1, le=100)
    probe_steps: int = param(300, "optimiser steps of the probe", ge=1, le=100_000, unit="steps")
    clip: str = param("miniature", "`miniature`, a folder, or an open_clip model as ViT-B-32:laion2b_s34b_b79k")
    template: str = param("a photo of {}", "text around a class name")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        last: Predictor = Constant(target.spec.k)
        run.submit(last, start="nothing")
        last = ZeroShot.of(self.clip, target.spec, self.template)
        run.submit(last, start="clip", minimise="zero-shot")
        data = Data.of(target)
        if not data.labelled:
            return last
        models_so_far = _Best(data)
        probed = student("same", "public", target, run)
        linear_probe(probed, data.everything_labelled(), jitter, run, self.copies, self.probe_steps)
        for trial in TRIALS[: self.trials]:
            model = self._model(trial, probed, models_so_far, target, run)
            if model is None:
                continue
            if trial.minimise != "probe":
                learner = Learner(model, data, run, AUGMENTS[trial.augment], self.batch, str(trial))
                if trial.minimise == "self-training":
                    learner.labels_of_pool = models_so_far.labels()
                learner.fit(self.steps, trial.rate, information=trial.minimise == "information")
            models_so_far.add(model)
            last = Direct(model)
            run.submit(last, **asdict(trial))
        return last

    def _model(
        self, trial: Trial, probed: Classifier, so_far: _Best, target: AttackerView, run: Run
    ) -> Classifier | None:
        """What ``trial`` starts from; None where it has nothing to start from."""
        if trial.start == "random":
            return student("same", "random", target, run)
        if trial.start == "best":
            return copy.deepcopy(so_far.model) if so_far.data.pool is not None else None
        return copy.deepcopy(probed)


class _Best:
    """The model whose answers to the pool have the highest mutual information so far."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.model: Classifier | None = None
        self._logits = torch.zeros(0)
        self._score = -float("inf")

    def add(self, model: Classifier) -> None:
        if self.data.pool is None:
            return
        logits = models.logits(model, self.data.pool)
        score = float(mutual_information(logits))
        if score > self._score:
            self.model, self._logits, self._score = model, logits, score

    def labels(self) -> Tensor:
        """(N,) int64: its class of each image of the pool."""
        return self._logits.argmax(1)
