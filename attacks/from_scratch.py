"""The public baseline: what the attacker's data and public weights reach without the locked model."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.canonical import Canonical, Look
from attacks.kit.composition import After
from attacks.kit.front import InFront
from attacks.kit.information import AUGMENTATIONS, Recipe, maximise, own_statistics, train_on_answers, usual_rate
from attacks.kit.input import Transform, subset
from attacks.kit.looks import information_score, search
from attacks.kit.probe import linear_probe, probe_pixels
from attacks.kit.pseudo_labels import with_pseudo_labels
from attacks.kit.selection import class_shares, information
from attacks.kit.students import all_labelled, student
from attacks.kit.zero_shot import ZeroShot
from bench import models
from bench.augment import jitter
from bench.contracts import (
    IGNORE,
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
    """One way to train.

    Args:
        start: ``public`` weights under the shared probe, ``random`` ones, the model that learned ``labels`` in other
            colours, or the ``best``: a copy of the model that is most informative of the pool so far.
        minimise: the cross-entropy of ``labels``; ``information``, which subtracts the mutual information of the pool;
            ``answers``, which adds the cross-entropy of the model's own answers to the pool; ``pseudo-labels``, which
            adds that of the surest answers of the model that learned ``labels``. ``nothing``: the probe.
        augment: how images vary, one of `AUGMENTATIONS`.
        rate: factor of the usual peak learning rate, see `usual_rate`.
        look: what unauthorised images are brought to. ``searched``: the look that the probe answers with most
            information; only where authorised images are granted, since labels and pool look alike otherwise.
            ``plain``: `PLAIN`, where labels are of the pool's side; the probe learns in that look.
    """

    start: str
    minimise: str
    augment: str = "jitter"
    rate: float = 1.0
    look: str = ""

    @property
    def needs_pool(self) -> bool:
        """Whether it needs unlabelled images."""
        return self.minimise in ("information", "answers", "pseudo-labels")


TRIALS = (
    Trial("public", "nothing"),
    Trial("public", "labels", "recolour"),
    Trial("public", "labels"),
    Trial("public", "pseudo-labels"),
    Trial("labels", "information", "recolour"),
    Trial("labels", "information", "recolour", look="searched"),
    Trial("best", "answers", "recolour"),
    Trial("public", "information"),
    Trial("public", "information", look="plain"),
    Trial("public", "information", "recolour"),
    Trial("best", "answers", rate=1 / 3),
    Trial("public", "information", rate=1 / 3),
    Trial("random", "labels"),
)
"""In the order in which they are tried: the first `FromScratch.trials` of them, or of those that need no pool."""
PLAIN = Look(ground="dark", contrast="stretched", fill=0.9)
"""Light content on a dark ground, over the whole range and most of the frame: less is left to learn from few labels."""
SUREST = 0.5
"""Share of each pseudo-class that is trained on, the most confident."""


class FromScratch(Attack):
    """What the attacker's data and public weights reach without the locked model.

    CLIP answers by the names of the classes alone. A linear probe learns from features that are computed once. From
    there, from the model that learned the labels, and from random weights, trials minimise the cross-entropy of the
    labels, minus the mutual information of the pool. A round of self-training starts from the most informative one.
    Labels of the authorised side make it an adaptation from source to target: each side has its own batch statistics.

    In segmentation the most frequent class of the labels stands in for CLIP, the probe is trained on pixels as they
    come, and no trial changes looks, some of which move pixels.

    Every trial is handed in, and the judge takes the best on judge-validation images. No attack has that choice, so an
    advantage over the public baseline is not one of luck.
    """

    title = "public baseline"
    role = "control"
    purpose = "public-baseline"
    selection = "judge-validation"
    assets = ("clip",)
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "none", "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "label_steps": 3, "trials": 4, "probe_steps": 3, "embeddings": 20}

    steps: int = param(160, "optimiser steps of a trial that learns from the pool", ge=1, le=100_000, unit="steps")
    label_steps: int = param(
        400, "optimiser steps of a trial that learns from labels or pseudo-labels alone", ge=1, le=100_000, unit="steps"
    )
    trials: int = param(8, "ways to train that are tried, of the list in this file", ge=1, le=13)
    batch: int = param(64, "images of each source a step", ge=2, le=4096, unit="images")
    embeddings: int = param(
        2000,
        "embeddings the probe learns from: of labelled images as they are, and of jittered copies",
        ge=1,
        le=100_000,
    )
    probe_steps: int = param(300, "optimiser steps of the probe", ge=1, le=100_000, unit="steps")
    looked_at: int = param(100, "images of the pool that looks are scored on", ge=2, le=4096, unit="images")
    clip: str = param("miniature", "`miniature`, an open_clip folder, or a model as ViT-B-32/laion2b_s34b_b79k")
    template: str = param("a photo of {}", "text around a class name")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        is_dense, labelled = target.spec.is_dense, all_labelled(target)
        run.submit(Constant(target.spec.k, is_dense=is_dense), start="nothing")
        last = self._without_training(target, labelled)
        run.submit(last, start="labels" if is_dense else "clip")
        if labelled is None:
            return last
        probed = student("same", "public", target, run)
        self._probe(probed, labelled, run)
        best, learned = _Best(labelled), {"jitter": probed, "recolour": probed}
        possible = [trial for trial in TRIALS if target.threat.unlabelled or not trial.needs_pool]
        looked = "searched" if target.threat.authorised else "plain"
        possible = [trial for trial in possible if trial.look in (("",) if is_dense else ("", looked))]
        for trial in possible[: self.trials]:
            source = {"labels": learned["recolour"], "best": best.model or probed}.get(trial.start, probed)
            looks: list[Transform] = list(best.looks) if trial.start == "best" else []
            if trial.look:
                look = self._look(source, target, run) if trial.look == "searched" else PLAIN
                looks = [Canonical.of(look)]
            view: Any = After(target, None, looks) if looks else target
            if trial.start == "random":
                model = student("same", "random", target, run)
            elif trial.look == "plain":
                model = student("same", "public", target, run)
                self._probe(model, view.labelled, run)
            else:
                model = copy.deepcopy(source)
            self._train(model, view, run, trial, labelled, learned[trial.augment])
            if (trial.start, trial.minimise) == ("public", "labels"):
                learned[trial.augment] = model
            if target.threat.unlabelled:
                best.add(model, looks, view.unlabelled)
            last = InFront.of(Direct(model), *looks) if looks else Direct(model)
            run.submit(last, **asdict(trial))
        return last

    def _without_training(self, target: AttackerView, labelled: Images | None) -> Predictor:
        """CLIP by the names of the classes; in segmentation the most frequent class of the labels."""
        if not target.spec.is_dense:
            return ZeroShot.of(self.clip, target.spec, self.template)
        masks = torch.zeros(0, dtype=torch.int64) if labelled is None else labelled.labels.flatten()
        counts = torch.bincount(masks[masks != IGNORE], minlength=target.spec.k)
        return Constant(target.spec.k, int(counts.argmax()), is_dense=True)

    def _probe(self, model: Classifier, labelled: Images, run: Run) -> None:
        """Train the head alone, in place."""
        if labelled.labels.ndim > 1:
            probe_pixels(model, labelled, run, self.probe_steps, self.batch)
        else:
            linear_probe(model, labelled, jitter, run, self.embeddings, self.probe_steps)

    def _train(
        self, model: Classifier, target: AttackerView, run: Run, trial: Trial, labelled: Images, taught: Classifier
    ) -> None:
        """Train ``model`` in place, as ``trial`` says; ``taught`` learned the labels of all ``labelled`` images."""
        alone = trial.minimise in ("labels", "pseudo-labels")
        steps = self.label_steps if alone else self.steps
        recipe, name = Recipe(steps, trial.rate * usual_rate(model), self.batch, trial.augment), str(trial)
        near = target.labelled if target.threat.share > 0 else None
        far = [target.authorised] if target.threat.authorised > 0 else []
        if trial.minimise == "information":
            shares = class_shares(model, target.unlabelled, labelled)
            maximise(model, target.unlabelled, far, run, recipe, name=name, beside=near, shares=shares)
        elif trial.minimise == "answers":
            train_on_answers(model, target.unlabelled, far, run, recipe, name=name, beside=near)
        elif trial.minimise == "pseudo-labels":
            sure = with_pseudo_labels(taught, labelled, target.unlabelled, SUREST)
            self._probe(model, sure, run)
            learn_labels(model, [sure], run, recipe, name)
            own_statistics(model, target.unlabelled)
        elif trial.minimise == "labels":
            learn_labels(model, far if near is None else [near, *far], run, recipe, name)
            if target.threat.unlabelled:
                own_statistics(model, target.unlabelled)

    def _look(self, model: Classifier, target: AttackerView, run: Run) -> Look:
        """The look of the pool that ``model`` answers with most information."""
        images = subset(target.unlabelled, self.looked_at, run.rng("looks")).images.to(run.device)

        def report(count: int, _look: Look, _score: float) -> None:
            run.progress(count, count, "looks")

        score = information_score(target.spec.k)
        found = search(images, lambda changed: models.outputs(model, changed), score, beam=1, rounds=1, report=report)
        return found[0][0]


class _Best:
    """The model whose answers to the pool hold most information so far, with the transforms in front of it."""

    def __init__(self, labelled: Images | None = None) -> None:
        self._labelled = labelled
        self.model: Classifier | None = None
        self.looks: list[Transform] = []
        self._score = -math.inf

    def add(self, model: Classifier, looks: list[Transform], pool: Images) -> None:
        """Keep ``model`` if its mutual information on ``pool``, the images after ``looks``, is the highest."""
        score = information(model, pool, class_shares(model, pool, self._labelled))
        if score > self._score:
            self.model, self.looks, self._score = model, looks, score


def learn_labels(model: Classifier, labelled: list[Images], run: Run, recipe: Recipe, name: str) -> None:
    """Train ``model`` in place by cross-entropy: the mean over sets, each with batch statistics of its own."""
    augment = AUGMENTATIONS[recipe.augment]

    def loss(*batches: Batch) -> Tensor:
        return torch.stack([F.cross_entropy(model.logits(b.images), b.labels) for b in batches]).mean()

    run.fit(
        model, loss, recipe.steps, *labelled,
        rate=recipe.rate, batch=recipe.batch, augment=augment, name=name,
    )  # fmt: skip
