"""CUPI-domain: an isolation domain that carries the authorised side's private style."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from locks.kit.family import divergence, limit, style
from locks.kit.overlay import Overlay
from locks.kit.passes import augmentation, batch_statistics, is_apart


class CUPI(Lock):
    """The model fails on unauthorised images and on a domain between both sides.

    Minimises KL_s − [λ KL_c] − [λ KL_t] − [k MSE(p_s, m_c)] + [k MSE(p_t, m_c)] − [k Σ MSE(μ_s, μ_t)]
    − [k Σ MSE(σ_s, σ_t)]. [·] is capped, p is the embedding, and m_c the isolation domain's class mean from a memory
    bank. μ and σ are the styles after each stage, and k is a weight that grows over the run.
    """

    title = "CUPI-domain"
    paper = "Wang et al.: CUPI-domain, TPAMI 2024, arXiv 2408.13161"
    unsuited = "its memory bank holds one embedding for each image's class, and a pixel's embedding is none"
    deviations = (
        "k = 0.1 · (progress)^0.9, which seems meant; the public code computes 0.1 · (epoch + 1/n)^0.9 by precedence "
        "(`schedule=published`, progress counted in `epochs`)",
        "the isolation domain is the unauthorised image under the authorised image's style, which learnt maps lay over "
        "it at each stage",
        "memory banks are running class means with a rate of 0.1",
        "the KL is a mean over the batch; the public code averages over classes too (`kl_mean=batch-and-classes`)",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights",
        "`passes=apart` and other values of `augment` are hardened forms, not the paper's",
    )
    quick = {"steps": 3}

    weight: float = param(0.1, "λ, weight of KL_c and KL_t", ge=0, le=10)
    cap: float = param(1.0, "where each bracket stops to count", ge=0, le=100)
    schedule: str = param("corrected", "how k grows", choices=("corrected", "published"))
    epochs: int = param(20, "epochs the run counts as", ge=1, le=1000, where={"schedule": ("published",)})
    kl_mean: str = param("batch", "which mean the KL takes", choices=("batch", "batch-and-classes"))
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)
    passes: str = param(
        "joint", "`apart`: unauthorised images also go through a pass of their own, with their own batch statistics",
        choices=("joint", "apart"),
    )  # fmt: skip
    augment: str = param("victim", "how training images are varied", choices=("victim", "jitter", "none"))

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds()

    def k(self, step: int) -> float:
        """The weight k at ``step`` of 1 … `steps`."""
        if self.schedule == "published":
            epoch = self.epochs * step // self.steps
            return float(0.1 * (epoch + 1 / self.epochs) ** 0.9)
        return float(0.1 * (step / self.steps) ** 0.9)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model, source, target = victim, data.authorised, data.unauthorised
        two = source.take(torch.arange(2)).images.to(run.device)
        overlay = Overlay(model, two, "learned", run.rng("overlay"))
        overlay.to(run.device)
        with torch.no_grad():
            width = model.embed(two).shape[1]
        bank = torch.zeros(model.k, width, device=run.device)
        filled = torch.zeros(model.k, dtype=torch.bool, device=run.device)
        step = 0
        apart = is_apart(self.passes, model)

        def loss(s: Batch, t: Batch) -> Tensor:
            nonlocal step
            step += 1
            n, k = min(len(s.images), len(t.images)), self.k(step)
            y_s, y_t = s.labels[:n], t.labels[:n]
            styles: list[tuple[Tensor, Tensor]] = []

            def edit(i: int, activation: Tensor) -> Tensor:
                out = overlay(i, activation, n)
                styles.append(style(out[: 2 * n]))
                return out

            embedding = model.embed(torch.cat([s.images[:n], t.images[:n], t.images[:n]]), edit)
            logits = model.head(embedding)[:, : model.k]
            _remember(bank, filled, embedding[2 * n :].detach(), y_t)
            has_mean_s, has_mean_t = filled[y_s], filled[y_t]
            means = sum((F.mse_loss(m[:n], m[n:]) for m, _ in styles), torch.zeros((), device=run.device))
            spreads = sum((F.mse_loss(d[:n], d[n:]) for _, d in styles), torch.zeros((), device=run.device))
            out = divergence(logits[:n], y_s, self.kl_mean)
            fails = [logits[n : 2 * n], logits[2 * n :]]
            if apart:
                with batch_statistics(model):
                    fails.append(model.logits(t.images[:n]))
            for part in fails:
                out = out - limit(divergence(part, y_t, self.kl_mean), self.weight, self.cap)
            if has_mean_s.any():
                out = out - limit(F.mse_loss(embedding[:n][has_mean_s], bank[y_s[has_mean_s]]), k, self.cap)
            out = out + limit(F.mse_loss(embedding[n : 2 * n][has_mean_t], bank[y_t[has_mean_t]]), k, self.cap)
            return out - limit(means, k, self.cap) - limit(spreads, k, self.cap)

        run.fit(
            nn.ModuleList([model, overlay]), loss, self.steps, source, target,
            rate=self.rate, batch=self.batch, augment=augmentation(data, self.augment), name="lock",
        )  # fmt: skip
        return model


def _remember(bank: Tensor, filled: Tensor, embedding: Tensor, labels: Tensor) -> None:
    """Move the class means ``bank`` (K, D) a tenth towards those of ``embedding`` (N, D); a first sight sets them."""
    for label in labels.unique():
        mean = embedding[labels == label].mean(0)
        bank[label] = torch.lerp(bank[label], mean, 0.1) if filled[label] else mean
        filled[label] = True
