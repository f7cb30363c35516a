"""CLAMP: a bound on what an attacker gains by fine-tuning for ever, not for a few steps alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench import models
from bench.augment import varied
from bench.contracts import Batch, Classifier, DefenderView, Key, Lock, Run, param
from locks.kit.conditioning import kappa, spectrum

LEAST = 0.05
"""What 1 − ĉ is at least: an attack that does not contract has no bound."""


class CLAMP(Lock):
    """The loss that an attacker's long fine-tuning can win is bounded by its last simulated step, and kept small.

    An attacker takes K steps of gradient descent T on the harmful loss L_H, from ω_0 to ω_K. With a random direction v
    of unit length, ĉ = ‖T(ω_K + εv) − T(ω_K)‖ / ε and u_K = T(ω_K) − ω_K. Then B_tail = ‖u_K‖ / (1 − ĉ),
    ΔL_tail ≤ ‖g_K‖ B_tail + ½ L̃ B_tail², and ΔL_∞ = L_H(ω_0) − L_H(ω_K) + ΔL_tail. The lock minimises
    CE_own + w_t max(0, ΔL_∞ − m) + w_c softplus(ĉ − ĉ_max) + w_κ Σ_t softplus(κ_min − κ_t) − w_h L_H(ω_0).
    """

    title = "CLAMP"
    paper = "CLAMP, CVPR 2026"
    published = ("clamp.csv",)
    unsuited = "its condition numbers are those of one embedding for each image"
    deviations = (
        "known from a note on the paper: K, m, ĉ_max, κ_min, ε and all weights are a reconstruction",
        "κ_t is taken for the decadic logarithm of the condition number of the embeddings' second moments at step t",
        "L̃ is estimated along v: ‖g(ω_K + εv) − g(ω_K)‖ / ε",
        "derivatives at ω_t are applied to ω_0, first-order as in SOPHON; those of ĉ, L̃ and ‖g_K‖ at ω_K are exact",
        "1 − ĉ is at least 0.05, and L_H(ω_0) stops to count at `cap`, or both grow without bound",
        "AdamW for a fixed number of rounds from the victim's weights",
    )
    quick = {"rounds": 1, "inner": 1, "repairs": 1, "batch": 8}

    rounds: int = param(120, "simulated attacks, and steps of the whole loss", ge=1, le=100_000, unit="rounds")
    inner: int = param(5, "K, steps of the simulated attacker in each round", ge=1, le=1000, unit="steps")
    inner_rate: float = param(0.01, "the simulated attacker's learning rate (gradient descent)", ge=1e-6, le=1)
    repairs: int = param(4, "optimiser steps on the own domain alone after each attack", ge=0, le=1000, unit="steps")
    margin: float = param(0.5, "m, loss that the attacker may win, nats", ge=0, le=100)
    contraction: float = param(0.9, "ĉ_max", ge=0, le=1)
    condition: float = param(5.0, "κ_min, decadic logarithm of a condition number", ge=0, le=20)
    epsilon: float = param(0.01, "ε, length of the step along v", ge=1e-6, le=10)
    tail_weight: float = param(1.0, "w_t, weight of max(0, ΔL_∞ − m)", ge=0, le=100)
    contraction_weight: float = param(1.0, "w_c, weight of softplus(ĉ − ĉ_max)", ge=0, le=100)
    condition_weight: float = param(0.1, "w_κ, weight of each softplus(κ_min − κ_t)", ge=0, le=100)
    harm_weight: float = param(1.0, "w_h, weight of L_H(ω_0), which is driven up", ge=0, le=100)
    cap: float = param(5.0, "where L_H(ω_0) stops to count, nats", ge=0, le=100)
    rate: float = param(1e-3, "learning rate of AdamW", ge=1e-6, le=1)
    clip: float = param(1.0, "gradient norm each step is clipped to; 0: none", ge=0, le=100)
    batch: int = param(64, "images a batch", ge=2, le=4096)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim.train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.rate)
        attacks = run.steps(self.rounds * (self.inner + 1), data.unauthorised, batch=self.batch, name="attack")
        owns = run.steps(self.rounds * (self.repairs + 1), data.authorised, batch=self.batch, name="own")
        augment, directions = run.rng("augment"), run.rng("directions")

        for _ in range(self.rounds):
            batches = [
                varied(next(attacks)[0], data.augment, augment, data.unauthorised) for _ in range(self.inner + 1)
            ]
            gradients = self._harm(copy.deepcopy(model), batches, directions)
            for step in range(self.repairs + 1):
                own = varied(next(owns)[0], data.augment, augment, data.authorised)
                optimiser.zero_grad(set_to_none=True)
                F.cross_entropy(model.logits(own.images), own.labels).backward()  # type: ignore[no-untyped-call]
                if step == 0:
                    for p, gradient in zip(model.parameters(), gradients, strict=True):
                        p.grad = gradient if p.grad is None else p.grad + gradient
                if self.clip:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                optimiser.step()
        return model.eval()

    def _harm(self, attacker: Classifier, batches: Sequence[Batch], rng: torch.Generator) -> list[Tensor]:
        """Gradient of all terms but CE_own at ω_0, one tensor a parameter; ``attacker`` is trained in place.

        It has no dropout, under which two gradients cannot be compared. Batch norms take the batch's statistics.
        """
        attacker.eval()
        for norm in models.batch_norms(attacker):
            norm.train()
        last, params = batches[-1], list(attacker.parameters())
        start = F.cross_entropy(attacker.logits(last.images), last.labels)
        at_start = torch.autograd.grad(start, params, materialize_grads=True)
        total = [torch.zeros_like(p) for p in params]
        if float(start.detach()) < self.cap:
            total = [t - self.harm_weight * g for t, g in zip(total, at_start, strict=True)]
        for batch in batches[:-1]:
            phi = attacker.embed(batch.images)
            poor = self.condition_weight * F.softplus(self.condition - kappa(spectrum(phi)).log10())
            harm = F.cross_entropy(attacker.head(phi)[:, : attacker.k], batch.labels)
            more = torch.autograd.grad(poor, params, retain_graph=True, materialize_grads=True)
            total = [t + g for t, g in zip(total, more, strict=True)]
            steps = torch.autograd.grad(harm, params, materialize_grads=True)
            with torch.no_grad():
                for p, g in zip(params, steps, strict=True):
                    p.sub_(self.inner_rate * g)
        names = [name for name, _ in attacker.named_parameters()]

        def loss(weights: Sequence[Tensor]) -> Tensor:
            outputs = torch.func.functional_call(attacker, dict(zip(names, weights, strict=True)), (last.images,))
            return F.cross_entropy(outputs[:, : attacker.k], last.labels)

        with sdpa_kernel(SDPBackend.MATH):  # other kernels of attention have no second derivative
            end, c, tail = long_run(loss, params, unit(params, rng), self.epsilon, self.inner_rate)
            gain = start.detach() - end + tail
            terms = self.tail_weight * (gain - self.margin).clamp_min(0)
            terms = terms + self.contraction_weight * F.softplus(c - self.contraction)
            more = torch.autograd.grad(terms, params, materialize_grads=True)
        total = [t + g for t, g in zip(total, more, strict=True)]
        if float(gain.detach()) > self.margin:  # L_H(ω_0) is part of ΔL_∞
            total = [t + self.tail_weight * g for t, g in zip(total, at_start, strict=True)]
        return total


def unit(params: Sequence[Tensor], rng: torch.Generator) -> list[Tensor]:
    """A random direction of unit length over all ``params`` together."""
    drawn = [torch.randn(p.shape, generator=rng).to(p) for p in params]
    length = torch.stack([d.norm() for d in drawn]).norm()
    return [d / length for d in drawn]


def long_run(
    loss: Callable[[Sequence[Tensor]], Tensor],
    params: Sequence[Tensor],
    v: Sequence[Tensor],
    epsilon: float,
    rate: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """L_H(ω_K), ĉ, and the bound of ΔL_tail, each with its gradient towards ``params``.

    T(ω) = ω − rate · ∇L_H(ω).

    Args:
        loss: L_H of weights, given like ``params``.
        params: ω_K, leaves that require gradients.
        v: a direction of unit length.
        epsilon: ε.
        rate: of the attacker.
    """
    here = loss(params)
    g = torch.autograd.grad(here, params, create_graph=True, materialize_grads=True)
    moved = [p + epsilon * d for p, d in zip(params, v, strict=True)]
    there = torch.autograd.grad(loss(moved), moved, create_graph=True, materialize_grads=True)
    change = [b - a for a, b in zip(g, there, strict=True)]
    apart = [epsilon * d - rate * c for d, c in zip(v, change, strict=True)]
    c, smoothness, slope = length(apart) / epsilon, length(change) / epsilon, length(g)
    b = rate * slope / (1 - c).clamp_min(LEAST)
    return here, c, slope * b + 0.5 * smoothness * b.square()


def length(parts: Sequence[Tensor]) -> Tensor:
    """The L2 norm of all ``parts`` together; its gradient is finite where all are 0."""
    return (torch.stack([p.square().sum() for p in parts]).sum() + 1e-20).sqrt()
