"""AdaContrast: pseudo-labels voted by neighbours in a momentum model's memory, and contrast between strong views."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.adaptation import Course, Momentum, balance, info_nce, strong, weak
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class AdaContrast(Attack):
    """Neighbours vote on pseudo-labels; strong views learn them under a contrastive loss.

    Minimises CE(f(strong), ŷ) + w · InfoNCE(strong, strong') − H(mean p(strong)); ŷ is the argmax of the mean answer
    of the nearest images in the memory of the momentum model. Images of one pseudo-label are no negatives.
    """

    title = "AdaContrast"
    paper = "Chen, Wang, Darrell, Ebrahimi: Contrastive Test-Time Adaptation, CVPR 2022"
    selection = "mutual-information"
    deviations = (
        "the memory holds one row for each image, not a queue: there are a few hundred",
        "AdamW instead of SGD, and no projection: embeddings are those that the head sees",
        "strong views are moves, new colours and blur: crops and flips change digits",
        "half of the labelled views are weak: colours are all that some images differ in",
    )
    unsuited = "its memory and its contrast hold one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(240, "optimiser steps", ge=1, le=100_000, unit="steps")
    near: int = param(10, "neighbours that vote", ge=1, le=1000)
    contrast: float = param(0.2, "w, weight of the contrastive term", ge=0, le=100)
    temperature: float = param(0.07, "temperature of the contrastive term", ge=0.001, le=10)
    momentum: float = param(0.95, "m of the momentum model; 0.999 in the paper, whose courses are longer", ge=0, le=1)
    every: int = param(40, "steps between two full draws of the memory", ge=1, le=10_000, unit="steps")
    rate: float = param(3e-4, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run), run.rng("views")
        slow = Momentum(course.model, self.momentum)
        memory = course.memory()

        def refresh() -> None:
            memory.refresh(slow.model)

        def loss(batch: Batch) -> Tensor:
            index = batch.there
            with torch.no_grad():
                slow.follow(course.model)
                slow_embedding = slow.model.embed(weak(batch.images, rng))
                memory.write(index, slow_embedding, slow.model.head(slow_embedding)[:, : course.k].softmax(1))
                labels = memory.vote(slow_embedding, index, self.near).argmax(1)
                key = slow.model.embed(strong(batch.images, rng))
            half = len(index) // 2
            embedding, logits = course.apart(weak(batch.images[:half], rng), strong(batch.images[half:], rng))
            same = labels[:, None] == memory.answers.argmax(1)[None]
            same.scatter_(1, index[:, None], True)  # nor is an image's own row of the memory
            apart = info_nce(embedding, key, memory.embeddings, same, self.temperature)
            return F.cross_entropy(logits, labels) + self.contrast * apart + balance(logits.softmax(1))

        course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()
