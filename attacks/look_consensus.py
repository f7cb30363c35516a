"""Consensus of looks: what the locked model answers to images in many looks teaches it to answer them as they are."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from attacks.canonicalise import Canonicalise
from attacks.kit.access import ask, handle
from attacks.kit.canonical import Canonical, Look
from attacks.kit.front import InFront
from attacks.kit.information import Recipe, balanced, logs, maximise, own_statistics
from attacks.kit.input import at_most
from attacks.kit.students import affordable, student
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct

BATCH = 256
"""Images that are changed and asked about at once."""


class LookConsensus(Attack):
    """The locked model's answers to images in many looks, averaged and balanced, teach it to answer images as they are.

    A lock hides what the model knows from images as they are, not from every generic change of them. The looks are
    those of `canonicalise`, and the best ones by its score vote. The model is trained on unchanged images:
    cross-entropy to the vote, which fades out, less mutual information. Then it votes itself, and is trained again.
    With the weights, the locked model is trained; behind an interface, a student from public weights.
    """

    title = "consensus of looks"
    paper = "ours; balanced answers after Asano, Rupprecht, Vedaldi, Self-labelling, ICLR 2020"
    selection = "last"
    against = ("ntl", "cuti", "cupi", "h-ntl", "map", "modellock")
    unsuited = "looks crop and move images, so that answers to the same pixel cannot vote together"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"looks": 2, "probe": 8, "beam": 1, "search_rounds": 0, "steps": 2, "again": 2}

    looks: int = param(8, "looks that vote", ge=1, le=1000)
    beam: int = param(3, "combinations that the search keeps between rounds", ge=1, le=64)
    search_rounds: int = param(2, "passes of the search over the changes that are tried one by one", ge=0, le=10)
    probe: int = param(
        200, "images that looks are scored on, of each kind: labelled or not", ge=2, le=4096, unit="images"
    )
    steps: int = param(300, "optimiser steps on the first vote", ge=1, le=100_000, unit="steps")
    again: int = param(150, "optimiser steps on the model's own answers; 0: none", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    augment: str = param("recolour", "how training images are varied", choices=("jitter", "recolour", "mixed"))
    anchor: float = param(1.0, "first weight of the cross-entropy to the vote", ge=0, le=100)
    batch: int = param(64, "images of each source a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights", "logits"), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        search = Canonicalise(beam=self.beam, rounds=self.search_rounds, probe=self.probe)
        scores = search.looks(target, run)[: self.looks]
        n = affordable(target, run, len(scores) * len(target.unlabelled)) // len(scores)
        if not n:
            return InFront.of(handle(target), Canonical.of(scores[0][0]))
        pool = at_most(target.unlabelled, n, run.rng("pool"))
        answers = balanced(logs(vote(target, pool, scores)))
        white = target.threat.access == "weights"
        model = target.classifier if white else student("same", "public", target, run)
        own_statistics(model, pool)
        near = target.labelled if target.threat.share > 0 else None
        far = [target.authorised] if target.threat.authorised > 0 else []
        recipe = Recipe(self.steps, self.rate, self.batch, self.augment, anchor=self.anchor)
        for i, steps in enumerate(n for n in (self.steps, self.again) if n):
            if i:
                answers = balanced(models.logits(model, pool))
            maximise(model, pool, far, run, replace(recipe, steps=steps), answers, f"vote {i}", beside=near)
            run.submit(Direct(copy.deepcopy(model)), round=i)
        return Direct(model)


@torch.no_grad()
def vote(target: AttackerView, images: Images, scores: list[tuple[Look, float]]) -> Tensor:
    """(N, K): the mean of balanced answers of the locked model over looks, weighted by the softmax of score / 0.1.

    Each look is balanced by itself: a class that is answered always under one look outvotes no other look. Images are
    read in batches, and a query holds one of them.
    """
    weights = (torch.tensor([score for _, score in scores]) / 0.1).softmax(0)
    total = torch.zeros(len(images), target.spec.k)
    for weight, (look, _) in zip(weights, scores, strict=True):
        transform, answers = Canonical.of(look), torch.zeros_like(total)
        for batch in images.batches(BATCH):
            answers[batch.index] = ask(target, transform(batch.images))[:, : target.spec.k].log_softmax(1)
        total += weight * balanced(answers, sharpness=1)
    return total
