"""NTL: non-transferable learning, the model's features torn apart between the two sides."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.contracts import BadParameter, Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from locks.kit.domains import augmented_domains
from locks.kit.family import divergence, limit, mmd, sides, stage, with_stages
from locks.kit.passes import augmentation, batch_statistics, is_apart


class NTL(Lock):
    """The model fails on unauthorised images, and its features of both sides are driven apart.

    Minimises KL_s − min(cap, α KL_t) · min(cap, β MMD(φ_s, φ_t)); φ is an activation half-way up the model.
    """

    title = "NTL"
    paper = "Wang et al.: Non-Transferable Learning, ICLR 2022, arXiv 2106.06916"
    published = ("ntl_attacks_jailntl_poster.csv", "map_average.csv")
    tasks = ("classification", "segmentation")
    deviations = (
        "the KL is a mean over the batch; the public code averages over classes too (`kl_mean=batch-and-classes`)",
        "φ is the activation after the middle stage; in VGG it is that after about four convolutions",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights; the paper trains from "
        "ImageNet weights with Adam 1e-4; β 0.1 was raised to 1 by tuning",
        "source-only: random networks and colour maps generate the target, pushed until their MMD to the source "
        "reaches a level; the paper pushes a conditional GAN away from it",
        "segmentation is ours: the cross-entropy is a mean over pixels, φ stays a vector for each image",
        "`passes=apart` and other values of `augment` are hardened forms, not the paper's",
    )
    quick = {"steps": 3}

    setting: str = param(
        "target", "`target`: the unauthorised side is at hand; `source-only`: it is generated",
        choices=("target", "source-only"),
    )  # fmt: skip
    use: str = param(
        "authorisation", "`ownership` swaps the sides: clean images work, keyed ones fail, and prove whose model it is",
        choices=("authorisation", "ownership"),
    )  # fmt: skip
    alpha: float = param(0.1, "α, weight of KL_t", ge=0, le=10)
    beta: float = param(1.0, "β, weight of the MMD", ge=0, le=10)
    cap: float = param(1.0, "where both terms stop to count", ge=0, le=100)
    kl_mean: str = param("batch", "which mean the KL takes", choices=("batch", "batch-and-classes"))
    stage: int | None = param(None, "stage whose activation is φ; none: the middle one", ge=0, le=100)
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
        if self.use == "ownership" and not target_at_hand:
            raise BadParameter("use=ownership needs setting=target: the keyed images are what shall fail")
        return DefenderNeeds(unauthorised=target_at_hand, unauthorised_labels=target_at_hand)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim
        if self.setting == "target":
            source, target = sides(data, self.use)
        else:
            source, target = data.authorised, augmented_domains(model, data.authorised, run)
        apart = is_apart(self.passes, model)

        def loss(s: Batch, t: Batch) -> Tensor:
            n = len(s.images)
            logits, activations = with_stages(model, torch.cat([s.images, t.images]))
            phi = stage(activations, self.stage)
            out = divergence(logits[:n], s.labels, self.kl_mean) - self._gap(logits[n:], t.labels, phi[:n], phi[n:])
            if apart:
                with batch_statistics(model):
                    logits, activations = with_stages(model, t.images)
                out = out - self._gap(logits, t.labels, phi[:n], stage(activations, self.stage))
            return out

        run.fit(
            model, loss, self.steps, source, target,
            rate=self.rate, batch=self.batch, augment=augmentation(data, self.augment), name="lock",
        )  # fmt: skip
        return model

    def _gap(self, logits: Tensor, labels: Tensor, phi_s: Tensor, phi_t: Tensor) -> Tensor:
        """min(cap, α KL_t) · min(cap, β MMD(φ_s, φ_t)) of the target's ``logits`` (N, K)."""
        fail = limit(divergence(logits, labels, self.kl_mean), self.alpha, self.cap)
        return fail * limit(mmd(phi_s, phi_t), self.beta, self.cap)
