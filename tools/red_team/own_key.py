"""Red team: the attacker's own key to a lock whose key is on the input or in the weights.

A lock has to leave what the model knows in the file; it only makes the file hard to read. So the attack draws up a few
readings of the file, none with a label: the network inside a wrapper, weights mended with public ones, batch statistics
of raw images, and the answer turned round (a model that was taught wrong answers is least sure of the right one). The
reading that says the same of two views of an image, and different things of different images, names the pool. A student
that starts from it learns those names, and answers for raw images without any key.
"""

from __future__ import annotations

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.parameters import counterparts, layer_weights, network
from bench.predictors import Direct

OUTLIER = 6.0
"""A weight is foreign from this many robust standard deviations of its layer's distance to the public weights on."""
STILL = 0.1
"""The median distance is taken for at least this share of the layer's spread: some layers barely move in training."""
FEW = 1e-4
"""Share of foreign weights below which there is nothing to mend."""


def balanced(scores: Tensor, rounds: int = 40) -> Tensor:
    """Log posteriors (N, K) of ``scores`` (N, K) with a bias for each class, so that every class has the same mass."""
    log = scores.log_softmax(1)
    for _ in range(rounds):
        log = (log - log.logsumexp(0, keepdim=True) + math.log(len(log) / log.shape[1])).log_softmax(1)
    return log


def posteriors(scores: Tensor, entropy: float = 0.3) -> Tensor:
    """Balanced log posteriors (N, K) at the temperature that brings their mean entropy to a share of its maximum."""
    scores = scores.double() - scores.double().median(0, keepdim=True).values
    low, high, middle = 1e-3, 1e3, 1.0
    for _ in range(20):
        middle = math.sqrt(low * high)
        log = balanced(scores / middle, 10)
        is_flat = float(-(log.exp() * log).sum(1).mean()) > entropy * math.log(scores.shape[1])
        low, high = (low, middle) if is_flat else (middle, high)
    return balanced(scores / middle).float()


def shared(a: Tensor, b: Tensor, k: int) -> float:
    """Mutual information, in nats, of two lists of classes (N,)."""
    joint = torch.zeros(k, k).index_put_((a, b), torch.ones(len(a)), accumulate=True) / len(a)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint.clamp_min(1e-12) / apart.clamp_min(1e-12)).log()).sum())


def information(logits: Tensor) -> Tensor:
    """Mutual information of image and answer, in nats: H(mean p) − mean H(p), of logits (N, K)."""
    p, log = logits.softmax(1), logits.log_softmax(1)
    mean = p.mean(0)
    return (p * log).sum(1).mean() - (mean * mean.clamp_min(1e-8).log()).sum()


def repeated(weight: Tensor) -> Tensor:
    """Where a value stands that at least three entries of ``weight`` share: trained weights do not repeat."""
    _, at, counts = weight.flatten().unique(return_inverse=True, return_counts=True)
    return (counts[at] > 2).view_as(weight)


@torch.no_grad()
def mended(model: Classifier, public: Classifier, is_key_large: bool) -> tuple[Classifier, float]:
    """A copy of ``model`` whose foreign weights are replaced, and the share of weights that were.

    Foreign are weights that lie far from their public value, which takes their place. In the head, which has none,
    they are those that repeat, and nought takes their place.
    Where the key is large, what takes their place is as large as what remained, at least.
    """
    out = copy.deepcopy(model)
    known = counterparts(out, public, head=False)
    changed = total = 0
    for name, weight in layer_weights(out).items():
        other = known.get(name)
        if other is None:
            foreign, value = repeated(weight), torch.zeros_like(weight)
        else:
            value = other.to(weight)
            away = (weight - value).abs()
            foreign = away > OUTLIER * 1.4826 * torch.maximum(away.median(), STILL * value.std())
            if is_key_large:
                value = value.sign() * torch.maximum(value.abs(), weight[~foreign].abs().amax())
        weight[foreign] = value[foreign]
        changed, total = changed + int(foreign.sum()), total + weight.numel()
    return out, changed / total


@torch.no_grad()
def restated(model: Classifier, pool: Images, reach: float) -> Classifier:
    """A copy of ``model`` with its batch means moved by ``reach`` times the way to those of the pool.

    Means of training on both sides lie between the two: beyond the pool's, raw images stand where keyed ones did.
    """
    out = copy.deepcopy(model)
    models.reestimate_batch_norm(out, pool)
    for norm, before in zip(models.batch_norms(out), models.batch_norms(model), strict=True):
        if norm.running_mean is not None and before.running_mean is not None:
            norm.running_mean.copy_(before.running_mean.lerp(norm.running_mean, reach))
    return out


def consensus(answers: dict[str, Tensor], scores: dict[str, float], rounds: int = 2) -> Tensor:
    """Balanced log posteriors (N, K): the mean of ``answers``, each (N, K), weighted by score and by agreement with it.

    The reading of the best score is the first mean. Agreement counts beyond chance.
    """
    names = answers[max(scores, key=lambda name: scores[name])]
    for _ in range(rounds):
        chance = 1 / names.shape[1]
        agreement = {n: float((own.argmax(1) == names.argmax(1)).float().mean()) - chance for n, own in answers.items()}
        weights = {n: scores[n] * max(0.0, agreement[n]) for n in answers}
        total = sum(weights.values())
        names = balanced(sum((weights[n] / total * own for n, own in answers.items()), torch.zeros_like(names)))
    return names


@torch.no_grad()
def turned(model: Classifier) -> Classifier:
    """A copy of ``model`` whose outputs have the other sign."""
    out = copy.deepcopy(model)
    last, own = models.head_names(out)[0], dict(out.named_parameters())
    for name in {last, last.removesuffix("weight") + "bias"} & own.keys():
        own[name].neg_()
    return out


class OwnKey(Attack):
    """Read the locked file in several ways, name the pool by the steadiest, and train a student on the names."""

    title = "Own key"
    paper = "ours"
    selection = ("steadiest", "the reading whose answers to two views of an image share most information")
    quick = {"views": 2, "steps": 4, "rounds": 1}
    defaults = {"threat.access": "weights", "threat.share": 0.0}

    views: int = param(4, "views of each pool image that a reading answers", ge=2, le=100)
    rounds: int = param(3, "rounds of training; after each the student names the pool anew", ge=1, le=20)
    steps: int = param(150, "optimiser steps a round", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate", ge=1e-6, le=1)
    inside: bool = param(True, "take the network inside a wrapper by itself")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        """Weights and unlabelled images; labelled ones are used where granted."""
        return threat.grants(["weights"], unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        """The student, on images as they are."""
        pool, k = target.unlabelled, target.spec.k
        labelled = target.labelled if target.threat.share > 0 else None
        readings, answers, scores = self._readings(target, pool), {}, {}
        for name, model in readings.items():
            views = self._answers(model, pool, run)
            classes = [log.argmax(1) for log in views]
            pairs = [shared(a, b, k) / math.log(k) for a, b in itertools.combinations(classes, 2)]
            answers[name], scores[name] = torch.stack(views).mean(0), sum(pairs) / len(pairs)
            if labelled is not None:
                scores[name] += float((models.answers(model, labelled) == labelled.labels).float().mean())
            run.submit(Direct(model), reading=name, score=round(scores[name], 4))
        student = copy.deepcopy(readings[max(scores, key=lambda name: scores[name])])
        names = consensus(answers, scores)
        for i in range(self.rounds):
            self._train(student, pool, labelled, balanced(names).exp(), run, f"student/{i}")
            run.submit(Direct(copy.deepcopy(student)), round=i)
            names = torch.stack(self._answers(student, pool, run)).mean(0)
        return Direct(student)

    def _readings(self, target: AttackerView, pool: Images) -> dict[str, Classifier]:
        """Models that read the locked file in one way each, by name."""
        locked = target.classifier.requires_grad_(True)
        body = network(locked)[1] if self.inside else locked
        bodies = {"as it is": body}
        public = target.public_model()
        for name, is_key_large in (("mended", False), ("mended, large", True)):
            model, share = mended(body, public, is_key_large)
            if share > FEW:
                bodies[f"{name}, {share:.4f}"] = model
        readings: dict[str, Classifier] = {}
        for name, model in bodies.items():
            readings[name] = model
            if models.has_batch_norm(model):
                for reach in (1.0, 2.0, 3.0, 4.0):
                    readings[f"{name}, statistics {reach}"] = restated(model, pool, reach)
        whole = [name for name in readings if "mended" not in name]
        return readings | {f"{name}, turned": turned(readings[name]) for name in whole[:2]}

    def _answers(self, model: Classifier, pool: Images, run: Run) -> list[Tensor]:
        """For each view of the pool the balanced log posteriors (N, K) of ``model``, on the CPU."""
        rng, images = run.rng("views"), pool.images
        return [posteriors(models.logits(model, jitter(images, rng))) for _ in range(self.views)]

    def _train(
        self, student: Classifier, pool: Images, labelled: Images | None, names: Tensor, run: Run, name: str
    ) -> None:
        """Train ``student`` in place on ``names``, posteriors (N, K) of the pool, and on labels where there are any."""

        def loss(batch: Batch, few: Batch | None = None) -> Tensor:
            images = batch.images if few is None else torch.cat([batch.images, few.images])
            logits = student.logits(images)
            own, target = logits[: len(batch.images)], batch.of(names)
            sure = target.max(1).values
            value = -(sure * (target * own.log_softmax(1)).sum(1)).mean() - information(own)
            return value if few is None else value + F.cross_entropy(logits[len(batch.images) :], few.labels)

        sources = [pool] if labelled is None else [pool, labelled]
        run.fit(student, loss, self.steps, *sources, rate=self.rate, augment=jitter, name=name)
        if models.has_batch_norm(student):
            models.reestimate_batch_norm(student, pool)
