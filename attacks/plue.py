"""PLUE: neighbours refine a pseudo-label, their disagreement says how little it should count."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.adaptation import Course, Momentum, balance, info_nce, strong, weak
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class PLUE(Attack):
    """Neighbours' pseudo-labels, weighted by how certain the neighbours are.

    Minimises mean w · [CE(p, ŷ) − log(1 − p_c)] + InfoNCE − H(mean p): ŷ is the neighbours' vote, c a random class
    other than ŷ, w = exp(−H(vote) / log K). Pairs that shared a pseudo-label in any of the last epochs are no
    negatives.
    """

    title = "PLUE"
    paper = "Litrico, Del Bue, Morerio: Guiding Pseudo-labels with Uncertainty Estimation, CVPR 2023"
    selection = "mutual-information"
    deviations = (
        "banks hold one row for each image; AdamW instead of SGD, and no projection",
        "strong views are moves, new colours and blur: crops and flips change digits",
        "positive and negative learning are added; the paper's classification term is the negative one",
        "half of the labelled views are weak: colours are all that some images differ in",
    )
    unsuited = "its neighbours are those of one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(240, "optimiser steps", ge=1, le=100_000, unit="steps")
    near: int = param(10, "neighbours that vote", ge=1, le=1000)
    history: int = param(5, "draws of pseudo-labels that decide which pairs are no negatives", ge=1, le=100)
    contrast: float = param(0.2, "weight of the contrastive term", ge=0, le=100)
    temperature: float = param(0.07, "temperature of the contrastive term", ge=0.001, le=10)
    momentum: float = param(0.95, "m of the momentum model that fills the banks", ge=0, le=1)
    every: int = param(20, "steps between two full draws of the banks", ge=1, le=10_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run), run.rng("views")
        slow = Momentum(course.model, self.momentum)
        memory = course.memory()
        past: list[Tensor] = []

        def refresh() -> None:
            memory.refresh(slow.model)
            past.append(memory.answers.argmax(1))
            del past[: -self.history]

        def loss(batch: Batch) -> Tensor:
            index = batch.there
            with torch.no_grad():
                slow.follow(course.model)
                slow_embedding = slow.model.embed(weak(batch.images, rng))
                memory.write(index, slow_embedding, slow.model.head(slow_embedding)[:, : course.k].softmax(1))
                vote = memory.vote(slow_embedding, index, self.near)
                key = slow.model.embed(strong(batch.images, rng))
                shared = torch.stack([p[index][:, None] == p[None] for p in past]).any(0)
            half = len(index) // 2
            embedding, logits = course.apart(weak(batch.images[:half], rng), strong(batch.images[half:], rng))
            labels, weight = vote.argmax(1), certainty(vote)
            step = torch.randint(1, course.k, labels.shape, generator=rng).to(run.device)
            classes = F.cross_entropy(logits, labels, reduction="none") + negative(logits, (labels + step) % course.k)
            apart = info_nce(embedding, key, memory.embeddings, shared, self.temperature)
            return (weight * classes).mean() + self.contrast * apart + balance(logits.softmax(1))

        course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()


def certainty(vote: Tensor) -> Tensor:
    """(N,) in [1/e, 1]: exp(−H / log K) of votes (N, K), 1 where neighbours agree."""
    entropy = -(vote * vote.clamp_min(1e-8).log()).sum(1)
    return (-entropy / math.log(vote.shape[1])).exp()


def negative(logits: Tensor, complementary: Tensor) -> Tensor:
    """(N,): −log(1 − p_c) for the classes c (N,) that an image is thought not to be."""
    p = logits.softmax(1).gather(1, complementary[:, None])[:, 0]
    return -(1 - p).clamp_min(1e-6).log()
