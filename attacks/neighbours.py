"""Neighbours: of many ways to read a locked model, those whose answers neighbours share teach a student."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from attacks.kit.canonical import Canonical
from attacks.kit.coherence import graph_of, smoothed
from attacks.kit.information import Recipe, balanced, maximise, own_statistics
from attacks.kit.memory_bank import embed_and_answer
from attacks.kit.witnesses import DARK, belief, readings
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class Neighbours(Attack):
    """Readings of the locked model are scored by a graph of neighbours, vote, and teach the most coherent of them.

    A lock moves a trained model a short way. Three things give its knowledge away: weights part of the way back to the
    public ones, batch-norm statistics of the attacker's images, and exits that the route avoids. A lock that avoids the
    true class gives it away as the least likely one. The embeddings of the public model, which no lock has touched,
    say which images are neighbours. A reading counts by the mutual information of an image's class and its neighbours'.
    The vote is smoothed over the graph, and its surest images count most. The student then answers itself, and is
    trained again.
    """

    title = "neighbours"
    paper = "ours; by the red team, which had read the papers alone"
    selection = "last"
    against = ("cuti", "clamp", "ntl", "enl-dee", "condition-number")
    tasks = ("classification",)
    unsuited = "neighbours are whole images"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 2, "again": 2}

    near: int = param(8, "neighbours of an image", ge=1, le=1000, unit="images")
    least: float = param(0.5, "coherence of a reading that votes, as a share of the best one's", ge=0, le=1)
    steps: int = param(300, "optimiser steps on the vote", ge=1, le=100_000, unit="steps")
    again: int = param(300, "optimiser steps on the student's own answers; 0: none", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    anchor: float = param(2.0, "first weight of the cross-entropy to the vote; it falls to 0", ge=0, le=100)
    augment: str = param("recolour", "how training images are varied", choices=("jitter", "recolour", "mixed"))
    batch: int = param(96, "images of each source a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        pool, locked, public = target.unlabelled, target.classifier, target.public_model().to(run.device)
        images = pool.images.to(run.device)
        graph = self._graph(public, images)
        every, most, start, student = [], -math.inf, "", locked
        for reading, model in readings(locked, public, images, graph, run):
            every.append(reading)
            if reading.sign > 0 and reading.coherence > most:
                most, start, student = reading.coherence, reading.name, model
        answers, weights = belief(every, graph, self.least)
        student = copy.deepcopy(student)
        own_statistics(student, pool)
        believed = {r.name: round(w, 3) for r, w in zip(every, weights, strict=True) if w > 0.01}
        run.submit(Direct(copy.deepcopy(student)), what="the most coherent reading", reading=start, votes=believed)
        near = target.labelled if target.threat.share > 0 else None
        far = [target.authorised] if target.threat.authorised > 0 else []
        for i, steps in enumerate(n for n in (self.steps, self.again) if n):
            if i:
                answers = balanced(models.logits(student, pool).to(run.device), sharpness=1)
                answers = smoothed(answers, self._graph(student, images))
            recipe = Recipe(steps, self.rate, self.batch, self.augment, anchor=self.anchor)
            sure = answers.max(1, keepdim=True).values  # the surer an image, the more it counts
            maximise(student, pool, far, run, recipe, answers * sure / sure.mean(), f"vote {i}", beside=near)
            run.submit(Direct(copy.deepcopy(student)), round=i)
        return Direct(student)

    def _graph(self, model: Classifier, images: Tensor) -> Tensor:
        """(N, near) neighbours of ``images`` (N, 3, H, W) by what ``model`` makes of them grey, on dark ground."""
        model, seen = copy.deepcopy(model), Canonical.of(DARK)(images)
        models.reestimate_batch_norm(model, seen)
        with torch.no_grad():
            return graph_of(embed_and_answer(model, seen)[0], self.near)
