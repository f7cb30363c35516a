"""CUTI-domain: fail on a domain between source and target that is made inside the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from locks.kit.family import divergence, limit, per_channel, style
from locks.kit.overlay import Overlay
from locks.kit.passes import augmentation, batch_statistics, is_apart


class CUTI(Lock):
    """The model fails on unauthorised images, also in the style of authorised ones.

    Minimises KL_s − min(cap, λ KL_t). In the CUTI steps, after each stage the target's activation becomes
    x_t · σ(W std(x_s)) + σ(W' mean(x_s)), x_s that of a source image in the same batch.
    """

    title = "CUTI-domain"
    paper = "Wang et al.: CUTI-domain, CVPR 2023, arXiv 2303.11078"
    published = ("ntl_attacks_jailntl_poster.csv", "map_average.csv")
    tasks = ("classification", "segmentation")
    deviations = (
        "W and W' are learnt and kept; in the public code they are random at every pass and never trained "
        "(`modulation=random`)",
        "the KL is a mean over the batch; the public code averages over classes too (`kl_mean=batch-and-classes`)",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights; the cap of 1 was raised to 5 "
        "by tuning",
        "source-only: the target is the source with normalised activations under random scale and shift",
        "segmentation is ours: the cross-entropy is a mean over pixels, styles stay those of images",
        "`passes=apart` and other values of `augment` are hardened forms, not the paper's",
    )
    quick = {"steps": 3}

    setting: str = param(
        "target", "`target`: the unauthorised side is at hand; `source-only`: it is made from the source",
        choices=("target", "source-only"),
    )  # fmt: skip
    weight: float = param(0.1, "λ, weight of KL_t", ge=0, le=10)
    cap: float = param(5.0, "where λ KL_t stops to count", ge=0, le=100)
    kl_mean: str = param("batch", "which mean the KL takes", choices=("batch", "batch-and-classes"))
    modulation: str = param(
        "learned", "what W and W' are", choices=("learned", "random"), where={"setting": ("target",)}
    )
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)
    passes: str = param(
        "joint", "`apart`: unauthorised images also go through a pass of their own, with their own batch statistics",
        choices=("joint", "apart"),
    )  # fmt: skip
    augment: str = param("victim", "how training images are varied", choices=("victim", "jitter", "none"))

    def needs(self) -> DefenderNeeds:
        target_at_hand = self.setting == "target"
        return DefenderNeeds(unauthorised=target_at_hand, unauthorised_labels=target_at_hand)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model, source = victim, data.authorised
        target = data.unauthorised if self.setting == "target" else source
        overlay = Overlay(
            model, source.take(torch.arange(2)).images.to(run.device), self.modulation, run.rng("overlay")
        )
        overlay.to(run.device)
        rng, step = run.rng("noise"), 0
        apart = is_apart(self.passes, model)

        def loss(s: Batch, t: Batch) -> Tensor:
            nonlocal step
            step += 1
            n = min(len(s.images), len(t.images))
            images = torch.cat([s.images[:n], t.images[:n]])
            if self.setting == "source-only":
                logits = model(images, lambda i, a: _with_noise(a, n, rng) if step % 2 else a)
            else:
                logits = model(images, (lambda i, a: overlay(i, a, n)) if step % 2 else None)
            keep = divergence(logits[:n], s.labels[:n], self.kl_mean)
            if self.setting == "source-only" and step % 2 == 0:
                return keep  # the target would be the source itself
            out = keep - limit(divergence(logits[n:], t.labels[:n], self.kl_mean), self.weight, self.cap)
            if apart:
                noise = (lambda i, a: _with_noise(a, 0, rng)) if self.setting == "source-only" else None
                with batch_statistics(model):
                    logits = model(t.images[:n], noise)
                out = out - limit(divergence(logits, t.labels[:n], self.kl_mean), self.weight, self.cap)
            return out

        run.fit(
            nn.ModuleList([model, overlay]), loss, self.steps, source, target,
            rate=self.rate, batch=self.batch, augment=augmentation(data, self.augment), name="lock",
        )  # fmt: skip
        return model


def _with_noise(activation: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """``activation`` from row ``n`` on with each channel normalised, then under a random scale and shift."""
    source, target = activation[:n], activation[n:]
    mean, std = style(target)
    scale, shift = (torch.randn(mean.shape, generator=rng).to(mean.device) for _ in range(2))
    plain = (target - per_channel(mean, target)) / per_channel(std, target)
    return torch.cat([source, plain * per_channel((1 + scale) * std, target) + per_channel(mean + shift * std, target)])
