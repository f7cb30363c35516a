"""CoWA-JMDS: pseudo-labels of a mixture model on embeddings, weighted by how sure model and structure both are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.adaptation import Course, soft_cross_entropy, weak
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class CoWA(Attack):
    """Weighted mixup on the pseudo-labels of a Gaussian mixture.

    JMDS = LPG · MPPL: the gap between the two best log-probabilities of the mixture over the widest gap, times the
    model's own probability of the mixture's label. Images, labels and weights are mixed; the loss is w̃ · CE(f(x̃), ỹ).
    """

    title = "CoWA-JMDS"
    paper = "Lee, Jung, Yim, Yoon: Confidence Score for Source-Free Unsupervised Domain Adaptation, ICML 2022"
    selection = "mutual-information"
    deviations = (
        "one covariance for all classes, shrunk towards a multiple of the identity: a few hundred images do not "
        "carry one for each class",
        "AdamW instead of SGD, no bottleneck layer, images are jittered each step",
        "weights are divided by their mean, so that few sure images do not mean small steps",
    )
    unsuited = "its mixture model is fitted to one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    alpha: float = param(0.2, "α of Beta(α, α), from which the mixing share is drawn", ge=0.01, le=10)
    shrink: float = param(0.1, "share of the covariance that is a multiple of the identity", ge=0.001, le=1)
    every: int = param(10, "steps between two draws of pseudo-labels and scores", ge=1, le=10_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run), run.rng("views")
        torch.manual_seed(run.seed("mixup"))  # torch's Beta draws from the global generator only
        beta = torch.distributions.Beta(self.alpha, self.alpha)
        n, device = len(course.images), run.device
        weights, labels = torch.zeros(n, device=device), torch.zeros(n, course.k, device=device)

        def refresh() -> None:
            embedding, p = course.embed_and_answer()
            features = F.normalize(embedding, dim=1)
            data = mixture(features, mixture(features, p, self.shrink).softmax(1), self.shrink)
            score = jmds(data, p)
            weights.copy_(score / score.mean().clamp_min(1e-8))
            labels.copy_(F.one_hot(data.argmax(1), course.k).float())

        def loss(batch: Batch) -> Tensor:
            index = batch.there
            images, w, y = weak(batch.images, rng), weights[index], labels[index]
            other = torch.randperm(len(index), generator=rng).to(device)
            share = beta.sample((len(index),)).to(device)
            images, w, y = (
                part * t + (1 - part) * t[other]
                for t in (images, w, y)
                for part in [share.view(-1, *[1] * (t.ndim - 1))]
            )
            return (w * soft_cross_entropy(course.model.logits(images), y)).mean()

        course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()


def mixture(features: Tensor, p: Tensor, shrink: float) -> Tensor:
    """(N, K) log-probabilities of the classes under a Gaussian mixture on features (N, D), given answers p (N, K).

    Means and priors are p's; the covariance is Σ = (1 − s) S + s (tr S / D) I, S the scatter within classes.
    """
    prior = p.mean(0).clamp_min(1e-8)
    means = p.T @ features / p.sum(0)[:, None].clamp_min(1e-8)
    away = features[:, None] - means
    scatter = torch.einsum("nk,nkd,nke->de", p, away, away) / len(features)
    d = scatter.shape[0]
    spread = scatter.trace() / d + 1e-8
    covariance = (1 - shrink) * scatter + shrink * spread * torch.eye(d, device=p.device)
    inverse = torch.linalg.inv(covariance.double()).to(features.dtype)
    distance = torch.einsum("nkd,de,nke->nk", away, inverse, away)
    return (prior.log() - 0.5 * distance).log_softmax(1)


def jmds(data: Tensor, p: Tensor) -> Tensor:
    """(N,) joint model-data structure scores in [0, 1] of log-probabilities ``data`` (N, K) and answers p (N, K)."""
    best = data.topk(2, dim=1)
    gap = best.values[:, 0] - best.values[:, 1]
    lpg = gap / gap.max().clamp_min(1e-8)
    mppl = p.gather(1, best.indices[:, :1])[:, 0]
    return lpg * mppl
