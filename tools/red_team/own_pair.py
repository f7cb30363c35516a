"""Red team: what a lock lets slip names the clusters of the attacker's images, without a label or an authorised image.

A lock of a domain pair moves a trained model a short way in weight space. Three things give its knowledge away: weights
half-way back to the public ones, batch statistics of the attacker's own images, and exits that the route avoids. Each
such *reading* answers plain views of the images. A graph of neighbours in a space that no lock has touched tells which
readings are to be trusted, and smooths what they agree upon. A student that starts from a reading learns the result.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.augment import recolour
from bench.contracts import Attack, AttackerView, Batch, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class Reading(NamedTuple):
    """A model that answers, the sign of its outputs, its log-posteriors (N, K), and their `coherence` in nats."""

    name: str
    model: Classifier
    sign: float
    belief: Tensor
    quality: float


class OwnPair(Attack):
    """Read the locked model in several ways, smooth the answers over a graph of neighbours, and teach a student."""

    title = "readings over neighbours"
    paper = "ours"
    selection = "last"
    quick = {"rounds": 1, "steps": 4}
    defaults = {"threat.access": "weights", "threat.share": 0.0}

    rounds: int = param(2, "rounds of training; each begins with new answers for all images", ge=1, le=20)
    steps: int = param(120, "optimiser steps a round", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    near: int = param(8, "neighbours of an image in the graph", ge=1, le=1000)

    def accepts(self, threat: ThreatModel) -> Any:
        """Weights and unlabelled images."""
        return threat.grants(["weights"], unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        """The student after the last round."""
        pool, locked, public = target.unlabelled, target.classifier, target.public_model().to(run.device)
        images = pool.images.to(run.device)
        graph = neighbours(embeddings(public, images), self.near)
        readings = list(read(locked, public, images, graph))
        belief, weights = agreed(readings, graph)
        best = max((r for r in readings if r.sign > 0), key=lambda r: r.quality)
        student = copy.deepcopy(best.model)
        models.reestimate_batch_norm(student, pool)
        trusted = {r.name: round(w, 3) for r, w in zip(readings, weights, strict=True) if w}
        run.submit(Direct(copy.deepcopy(student)), what="start", start=best.name, trusted=trusted)
        for i in range(self.rounds):
            self._teach(student, pool, belief, run, f"student/{i}")
            run.submit(Direct(copy.deepcopy(student)), what=f"round {i}")
            graph = neighbours(embeddings(student, images), self.near)
            belief = smoothed(balanced(models.logits(student, pool).to(run.device).log_softmax(1)), graph)
        return Direct(student)

    def _teach(self, student: Classifier, pool: Images, belief: Tensor, run: Run, name: str) -> None:
        """Train ``student`` in place on ``belief`` (N, K), the surer an image the more it counts."""
        p = belief.exp()
        sure = p.max(1).values / p.max(1).values.mean()

        def loss(batch: Batch) -> Tensor:
            logits = student.logits(batch.images)
            named = (batch.of(sure) * F.cross_entropy(logits, batch.of(p), reduction="none")).mean()
            return named - mutual_information(logits)

        student.requires_grad_(True)
        run.fit(student, loss, self.steps, pool, rate=self.rate, batch=96, augment=recolour, name=name)
        models.reestimate_batch_norm(student, pool)


def read(locked: Classifier, public: Classifier, images: Tensor, graph: Tensor) -> Iterator[Reading]:
    """Every reading of ``locked`` over ``images`` (N, 3, H, W) in [0, 1]; a reversed one of its own weights alone."""
    bodies = {0.0: locked} | {share: towards(locked, public, share) for share in SHARES}
    for view, show in VIEWS.items():
        seen = show(images)
        for share, body in bodies.items():
            own = copy.deepcopy(body)
            models.reestimate_batch_norm(own, seen)
            forms = {", own statistics": own} | ({"": body} if share == 0 else {})
            for form, model in forms.items():
                for part, logits in answers(model, seen):
                    even = logits / logits.std(0).mean().clamp_min(1e-6)
                    for sign in (1.0, -1.0)[: 1 if share else 2]:
                        name = f"{sign:+.0f} {part}{share:.0%} public, {view}{form}"
                        quality = coherence((sign * even).argmax(1), graph, model.k)
                        yield Reading(name, model, sign, balanced(sign * even), quality)


@torch.no_grad()
def answers(model: Classifier, seen: Tensor) -> list[tuple[str, Tensor]]:
    """(N, K) logits of the model by name; where it has several exits, of each."""
    out = [("", models.logits(model, seen).to(seen.device))]
    if callable(exits := getattr(model, "exits", None)):
        every = torch.cat([exits(model.embed(part)) for part in seen.split(256)])[..., : model.k]
        out += [(f"exit {i}, ", logits) for i, logits in enumerate(every.unbind(1))]
    return out


@torch.no_grad()
def towards(locked: Classifier, public: Classifier, share: float) -> Classifier:
    """``locked`` with its body moved by ``share`` of the way to the public weights; the head stays."""
    model = copy.deepcopy(locked).eval()
    other, heads = public.state_dict(), set(models.head_names(model))
    for name, value in model.state_dict().items():
        there = other.get(name.removeprefix("inner."))
        if name not in heads and there is not None and there.shape == value.shape and value.is_floating_point():
            value.lerp_(there.to(value), share)
    return model


def plain(images: Tensor) -> Tensor:
    """Grey, stretched, and dark at the border: (N, 3, H, W) in [0, 1]."""
    grey = images.mean(1, keepdim=True)
    low, high = grey.amin((2, 3), keepdim=True), grey.amax((2, 3), keepdim=True)
    grey = (grey - low) / (high - low).clamp_min(0.05)
    border = torch.cat([grey[..., 0, :], grey[..., -1, :], grey[..., 0], grey[..., -1]], -1).mean((1, 2))
    return torch.where(border[:, None, None, None] > 0.5, 1 - grey, grey).expand_as(images)


def coarse(images: Tensor) -> Tensor:
    """`plain` at a quarter of the resolution."""
    small = F.interpolate(plain(images), scale_factor=0.25, mode="area")
    return F.interpolate(small, images.shape[2:], mode="bicubic", align_corners=False).clamp(0, 1)


SHARES = (0.3, 0.5, 0.7)
"""How far the body goes back to the public weights."""
LEAST = 0.5
"""Coherence that a reading must have, as a share of the best one's."""
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda images: images,
    "dark ground": plain,
    "light ground": lambda images: 1 - plain(images),
    "coarse": coarse,
}
"""Plain views of images (N, 3, H, W) in [0, 1] by name."""


def mutual_information(logits: Tensor) -> Tensor:
    """H(mean p) - mean H(p) in nats, of logits (N, K)."""
    log = logits.log_softmax(1)
    mean = log.exp().mean(0)
    return (log.exp() * log).sum(1).mean() - (mean * mean.clamp_min(1e-8).log()).sum()


def balanced(logits: Tensor, rounds: int = 20) -> Tensor:
    """Log-posteriors (N, K) of ``logits`` with a bias a class that gives every class the same mass."""
    log = logits.log_softmax(1)
    for _ in range(rounds):
        log = (log - log.logsumexp(0)).log_softmax(1)
    return log


@torch.no_grad()
def embeddings(model: Classifier, images: Tensor) -> Tensor:
    """(N, D) of unit length: embeddings of the `plain` view, each column centred and scaled."""
    model, seen = copy.deepcopy(model).eval(), plain(images)
    models.reestimate_batch_norm(model, seen)
    found = torch.cat([model.embed(part) for part in seen.split(256)])
    return F.normalize((found - found.mean(0)) / found.std(0).clamp_min(1e-5))


def neighbours(points: Tensor, count: int) -> Tensor:
    """(N, count) int64: for each of ``points`` (N, D) the nearest others by cosine."""
    near = points @ points.T
    near.fill_diagonal_(-2)
    return near.topk(min(count, len(points) - 1)).indices


def smoothed(belief: Tensor, graph: Tensor, rounds: int = 5) -> Tensor:
    """``belief`` (N, K) after a walk over ``graph`` (N, M) that keeps half of it; log-posteriors, balanced."""
    p = start = belief.exp()
    for _ in range(rounds):
        p = 0.5 * start + 0.5 * p[graph].mean(1)
    return balanced(2 * p.clamp_min(1e-6).log())


def coherence(hard: Tensor, graph: Tensor, k: int) -> float:
    """Mutual information in nats of the classes ``hard`` (N,) of images and of their neighbours in ``graph`` (N, M)."""
    one = F.one_hot(hard, k).float()
    joint = one.T @ one[graph].mean(1) / len(one)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint.clamp_min(1e-9) / apart.clamp_min(1e-9)).log()).sum())


def agreed(readings: list[Reading], graph: Tensor, rounds: int = 4) -> tuple[Tensor, list[float]]:
    """What the most coherent readings agree upon, (N, K) log-posteriors, and the weight of each reading.

    A collapsed reading has no coherence, and a wrong sign little. Of the rest, each counts by how well it foretells
    what the others say of an image's neighbours. The readings of one sign err alike. So all those of a sign together
    weigh as much as the square of their best coherence, however many they are.
    """
    p = torch.stack([r.belief.exp() for r in readings])
    quality = torch.tensor([r.quality for r in readings], device=p.device)
    signs = torch.tensor([r.sign for r in readings], device=p.device)
    trusted = quality * (quality >= LEAST * quality.max())

    def shared(weight: Tensor) -> Tensor:
        """``weight`` (R,) of readings, scaled to the share of their sign."""
        parts = [torch.where(signs == sign, weight, 0) for sign in (1.0, -1.0)]
        best = [torch.where(signs == sign, trusted, 0).max().square() for sign in (1.0, -1.0)]
        out = torch.stack([part / part.sum().clamp_min(1e-9) * b for part, b in zip(parts, best, strict=True)]).sum(0)
        return out / out.sum()

    weight = shared(trusted)
    for _ in range(rounds):
        total = (weight[:, None, None] * p).sum(0)
        gains = []
        for own, answer in zip(weight, p, strict=True):
            rest = balanced((total - own * answer).clamp_min(1e-6).log()).exp()
            hit = (answer * rest[graph].mean(1)).sum(1).mean()
            gains.append((hit - 1 / p.shape[-1]).clamp_min(1e-3))
        weight = shared(trusted * torch.stack(gains))
    return smoothed(balanced((weight[:, None, None] * p).sum(0).clamp_min(1e-6).log()), graph), weight.tolist()
