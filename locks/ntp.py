"""NTP: pruned so that what is left cannot be fine-tuned to the other domain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.gradients import gradients_inside
from bench.parameters import layer_weights


class NTP(Lock):
    """Pruning that keeps authorised accuracy and makes the rest hard to fine-tune.

    Minimises CE_s − α min(CE_t, cap) + λ S_b / S_w + ρ/2 ‖W − Z + U‖², Z the nearest weights of the wanted
    sparsity; then prunes to Z's support and repairs the authorised side with the zeros fixed.
    """

    title = "NTP"
    paper = "Ding et al.: NTP, ECCV 2024, arXiv 2410.08015"
    unsuited = "its class scatter is that of one embedding for each image"
    deviations = (
        "the class scatter of target features is the ratio of between- to within-class variance of the embedding",
        "sparsity is 0.9 and not 0.95, which costs this small network over 20 points on its own domain (tuning)",
        "sparsity is the same share in every layer; the last layer stays dense",
        "after pruning, a short repair on authorised images with the same loss and the zeros fixed",
    )
    quick = {"steps": 3, "rounds": 1, "repair": 1}

    sparsity: float = param(0.9, "share of weights pruned in every layer but the last", ge=0, le=0.999)
    alpha: float = param(0.1, "α, weight of the target's cross-entropy", ge=0, le=10)
    cap: float = param(10.0, "where CE_t stops to count", ge=0, le=100)
    scatter: float = param(0.1, "λ, weight of the class scatter of target features", ge=0, le=10)
    rho: float = param(0.005, "ρ, pull towards the sparse weights", ge=0, le=10)
    rounds: int = param(8, "ADMM rounds: Z and U are renewed after each", ge=1, le=1000)
    steps: int = param(300, "optimiser steps in all rounds", ge=1, le=100_000, unit="steps")
    repair: int = param(200, "optimiser steps after pruning", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds()

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim
        weights = list(layer_weights(model, head=False).values())
        z = [sparse(w.detach(), self.sparsity) for w in weights]
        u = [torch.zeros_like(w) for w in weights]
        each, step = max(1, self.steps // self.rounds), 0

        def both(s: Batch, t: Batch) -> Tensor:
            n = len(s.images)
            embedding = model.embed(torch.cat([s.images, t.images]))
            logits = model.head(embedding)[:, : model.k]
            fail = F.cross_entropy(logits[n:], t.labels).clamp(max=self.cap)
            spread = scatter_ratio(embedding[n:], t.labels)
            return F.cross_entropy(logits[:n], s.labels) - self.alpha * fail + self.scatter * spread

        def admm(s: Batch, t: Batch) -> Tensor:
            nonlocal step
            if step and step % each == 0:
                for i, w in enumerate(weights):
                    z[i] = sparse(w.detach() + u[i], self.sparsity)
                    u[i] += w.detach() - z[i]
            step += 1
            near = sum(((w - a + b).square().sum() for w, a, b in zip(weights, z, u, strict=True)), torch.zeros(()))
            return both(s, t) + 0.5 * self.rho * near

        sources = (data.authorised, data.unauthorised)
        run.fit(
            model, admm, self.steps, *sources,
            rate=self.rate, batch=self.batch, augment=data.augment, name="admm",
        )  # fmt: skip
        with torch.no_grad():
            for w, b in zip(weights, u, strict=True):
                w.mul_(sparse(w + b, self.sparsity) != 0)
        masks = [(w != 0).to(w.dtype) for w in weights]
        if self.repair:
            with gradients_inside(zip(weights, masks, strict=True)):
                run.fit(
                    model, both, self.repair, *sources,
                    rate=self.rate, batch=self.batch, augment=data.augment, decay=0.0, name="repair",
                )  # fmt: skip
        zeros, total = sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
        run.note(sparsity=round(zeros / total, 4))
        return model


def sparse(weight: Tensor, sparsity: float) -> Tensor:
    """``weight`` with all but the largest (1 − sparsity) by magnitude set to 0; at least one is kept."""
    keep = max(1, round((1 - sparsity) * weight.numel()))
    out = torch.zeros_like(weight).flatten()
    at = weight.abs().flatten().topk(keep).indices
    out[at] = weight.flatten()[at]
    return out.view_as(weight)


def scatter_ratio(features: Tensor, labels: Tensor) -> Tensor:
    """Between-class over within-class variance of ``features`` (N, D), summed over D; 0 with one class."""
    middle = features.mean(0)
    between = within = features.new_zeros(())
    for label in labels.unique():
        own = features[labels == label]
        between = between + len(own) * (own.mean(0) - middle).square().sum()
        within = within + (own - own.mean(0)).square().sum()
    return between / (within + 1e-6)
