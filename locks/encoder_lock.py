"""EncoderLock: few weights of an encoder change, so that a head trained on it fails on a prohibited domain."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Images, Key, Lock, Run, param
from bench.gradients import gradients_inside
from locks.kit.domains import augmented_domains
from locks.kit.family import limit
from locks.kit.probing import body, highest, scatter

AT_ONCE = 256
"""Images of each side that the weights are chosen by, at most."""


class EncoderLock(Lock):
    """A simulated prober trains a head on the prohibited domain, and the encoder is changed until it fails.

    Only the weights with the highest |g_t| / |g_s| may change: those that matter to the prohibited domain and not to
    the own one. Minimises CE_s − min(cap, α CE(h_t(φ(x_t)), y_t)). Every round a new prober's head h_t is trained on
    the features as they are then, from random weights. `unlabelled`: in place of the prober's loss the prohibited
    features are drawn together, + α tr Cov φ_t / tr Cov φ_s. `synthetic`: the prohibited images are made from the own
    ones.
    """

    title = "EncoderLock"
    paper = "EncoderLock, arXiv 2411.12508 (artefact MIT)"
    published = ("encoder_lock.csv",)
    unsuited = "its prober reads one embedding for each image"
    deviations = (
        "known from the abstract: few weights, linear probing, three levels of knowledge; losses, choice of weights "
        "and schedule are a reconstruction",
        "`synthetic` moves copies of the own images away from themselves, as NTL's source-only form does; the paper "
        "has a generator draw the prohibited theme",
        "a fifth of the weights may change, by tuning; how few the paper changes is not known",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights; the own head stays as it is",
    )
    quick = {"steps": 2, "rounds": 2, "probe": 2}

    level: str = param(
        "labelled", "what the owner has of the prohibited domain: labelled images, images, or none",
        choices=("labelled", "unlabelled", "synthetic"),
    )  # fmt: skip
    share: float = param(0.2, "share of the encoder's weights that may change", ge=0.0001, le=1)
    alpha: float = param(0.3, "α, weight of the prohibited term", ge=0, le=100)
    cap: float = param(5.0, "where α times the prober's loss stops to count", ge=0, le=100)
    rounds: int = param(
        15, "rounds: at the start of each a new head of the prober is trained", ge=1, le=10_000, unit="rounds"
    )
    probe: int = param(40, "optimiser steps of the prober in each round", ge=1, le=10_000, unit="steps")
    steps: int = param(20, "optimiser steps of the encoder in each round", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(unauthorised=self.level != "synthetic", unauthorised_labels=self.level == "labelled")

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim.eval()
        own = data.authorised
        other = augmented_domains(model, own, run) if self.level == "synthetic" else data.unauthorised
        prober = copy.deepcopy(model)
        self._probe(model, prober, other, run, 0)
        masks = self._weights(model, prober, own, other, run)
        weights = body(model)

        def renew(step: int) -> None:
            if step and step % self.steps == 0:
                self._probe(model, prober, other, run, step)

        def loss(s: Batch, t: Batch) -> Tensor:
            n = len(s.images)
            phi = model.embed(torch.cat([s.images, t.images]))
            keep = F.cross_entropy(model.head(phi[:n])[:, : model.k], s.labels)
            return keep + self._fail(prober, phi[n:], phi[:n], t, self.cap)

        groups = [{"params": list(weights.values()), "weight_decay": 0.0}]
        with gradients_inside((weights[n], m) for n, m in masks.items()):
            run.fit(
                model, loss, self.rounds * self.steps, own, other, parameters=groups, train_mode=False, each=renew,
                rate=self.rate, batch=self.batch, augment=data.augment, name="lock",
            )  # fmt: skip
        changed, total = sum(int(m.sum()) for m in masks.values()), sum(w.numel() for w in weights.values())
        run.note(weights_changed=changed, share_changed=round(changed / total, 4))
        return model

    def _fail(self, prober: Classifier, phi_t: Tensor, phi_s: Tensor, t: Batch, cap: float) -> Tensor:
        """The prohibited term, to be minimised; past ``cap`` it has no gradient."""
        if self.level == "unlabelled":
            return self.alpha * scatter(phi_t, phi_s.detach())
        return -limit(F.cross_entropy(prober.head(phi_t)[:, : prober.k], t.labels), self.alpha, cap)

    def _probe(self, model: Classifier, prober: Classifier, images: Images, run: Run, at: int) -> None:
        """Draw the prober's head anew and train it on the features as they are."""
        if self.level == "unlabelled":
            return
        models.forget_head(prober, run.seed(f"prober/{at}"))

        def loss(batch: Batch) -> Tensor:
            with torch.no_grad():
                phi = model.embed(batch.images)
            return F.cross_entropy(prober.head(phi)[:, : model.k], batch.labels)

        head = [prober.get_parameter(name) for name in models.head_names(prober)]
        run.fit(
            prober, loss, self.probe, images,
            rate=1e-2, batch=self.batch, parameters=head, train_mode=False, name=f"probe/{at}",
        )  # fmt: skip

    def _weights(
        self, model: Classifier, prober: Classifier, own: Images, other: Images, run: Run
    ) -> dict[str, Tensor]:
        """Which weights of the encoder may change: by gradients of both losses, the prohibited one without its cap."""
        weights = body(model)
        some = [
            images.take(torch.randperm(len(images), generator=run.rng(f"weights/{i}"))[:AT_ONCE], run.device)
            for i, images in enumerate((own, other))
        ]
        phi_s, phi_t = (model.embed(batch.images) for batch in some)
        keep = F.cross_entropy(model.head(phi_s)[:, : model.k], some[0].labels)
        fail = self._fail(prober, phi_t, phi_s, some[1], math.inf)
        every = list(weights.values())
        on_own = torch.autograd.grad(keep, every, retain_graph=True, materialize_grads=True)
        on_other = torch.autograd.grad(fail, every, materialize_grads=True)
        return highest(dict(zip(weights, on_other, strict=True)), dict(zip(weights, on_own, strict=True)), self.share)
