"""SHOT: the classifier's head is kept, the rest moves until the target's embeddings fit it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.adaptation import Course, weak
from attacks.kit.selection import mutual_information
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class SHOT(Attack):
    """Information maximisation and centroid pseudo-labels, with a frozen head.

    Minimises H(p) − H(mean p) + β · CE(p, ŷ). Every `every` steps the pseudo-label ŷ of an image becomes the class
    of the nearest centroid by cosine. Centroids are weighted by the model's answers first, then by the labels of those.
    """

    title = "SHOT"
    paper = "Liang, Hu, Feng: Do We Really Need to Access the Source Data?, ICML 2020"
    selection = "mutual-information"
    deviations = (
        "AdamW instead of SGD, and no bottleneck layer: embeddings are those that the locked head sees",
        "images are jittered each step",
    )
    unsuited = "its pseudo-labels are centroids of one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    beta: float = param(0.3, "β, weight of the pseudo-labels' cross-entropy", ge=0, le=10)
    every: int = param(10, "steps between two draws of pseudo-labels", ge=1, le=10_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run, freeze_head=True), run.rng("views")
        labels = torch.zeros(len(course.images), dtype=torch.int64)

        def refresh() -> None:
            labels.copy_(pseudo_labels(*course.embed_and_answer()))

        def loss(batch: Batch) -> Tensor:
            logits = course.model.logits(weak(batch.images, rng))
            pseudo = F.cross_entropy(logits, batch.of(labels))
            return self.beta * pseudo - mutual_information(logits)

        course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()


def centroids(features: Tensor, weights: Tensor) -> Tensor:
    """(K, D): c_k = Σ_i w_ik f_i / Σ_i w_ik of features (N, D) under weights (N, K)."""
    return weights.T @ features / weights.sum(0)[:, None].clamp_min(1e-8)


def pseudo_labels(embedding: Tensor, p: Tensor) -> Tensor:
    """(N,) classes of the nearest centroid by cosine, for embeddings (N, D) that the model answers with p (N, K).

    A class that no image is nearest to in the first round takes no part in the second.
    """
    features = F.normalize(torch.cat([embedding, torch.ones_like(embedding[:, :1])], 1), dim=1)
    labels = (features @ F.normalize(centroids(features, p), dim=1).T).argmax(1)
    hard = F.one_hot(labels, p.shape[1]).float()
    cosine = features @ F.normalize(centroids(features, hard), dim=1).T
    return cosine.masked_fill(hard.sum(0) == 0, -2.0).argmax(1)
