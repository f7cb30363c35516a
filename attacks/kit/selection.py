"""Rules by which an attack chooses what it hands back; none sees a label that the threat model withholds."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from bench import models, pixels
from bench.contracts import IGNORE, Classifier, Images

T = TypeVar("T", bound=Classifier)
Name = TypeVar("Name")


def mutual_information(logits: Tensor, shares: Tensor | None = None) -> Tensor:
    """H(mean p) − mean H(p) in nats over a batch of logits (N, K): confident and balanced answers are high.

    Of logits (N, K, H, W), over all pixels. Most pixels are background, so that no balanced answer is right there: with
    ``shares`` π it is H(π) − KL(mean p ‖ π) − mean H(p), which for equal shares is the same. Without them objects alone
    are to be even: see `object_balance`.

    Args:
        shares: (K,) π, the share of each class among pixels.
    """
    is_dense, logits = logits.ndim > 2, pixels.rows(logits)
    p = logits.softmax(1)
    each = -(p * logits.log_softmax(1)).sum(1).mean()
    return _together(p.mean(0), shares, is_dense) - each


LEAST = 0.05
"""Share of all pixels that objects must fill for their balance to count in full."""


def object_balance(mean: Tensor) -> Tensor:
    """H of the shares of classes 1 to K − 1 among themselves, in nats, of mean probabilities of pixels (K,).

    Class 0 is the background where the data have one. It is free, so long as objects fill `LEAST`; below, H falls in
    proportion, so that one answer everywhere is worth nothing. With two classes there is one object, and both count.
    """
    if len(mean) < 3:
        return -(mean * mean.clamp_min(1e-8).log()).sum()
    mass = mean[1:].sum()
    shares = mean[1:] / mass.clamp_min(1e-8)
    return -(shares * shares.clamp_min(1e-8).log()).sum() * (mass / LEAST).clamp(max=1)


def _together(mean: Tensor, shares: Tensor | None, is_dense: bool) -> Tensor:
    """H(mean) of images, `object_balance` of pixels, or H(π) − KL(mean ‖ π), in nats, of probabilities (K,)."""
    if shares is None:
        return object_balance(mean) if is_dense else -(mean * mean.clamp_min(1e-8).log()).sum()
    log_shares = shares.to(mean).clamp_min(1e-4).log()
    return -(shares.to(mean) * log_shares).sum() - (mean * (mean.clamp_min(1e-8).log() - log_shares)).sum()


def class_shares(model: Classifier, images: Images, labelled: Images | None = None) -> Tensor | None:
    """What an attacker takes for the share of each class among pixels; None in classification.

    They are those of ``labelled`` masks where there are any, else of the answers of ``model`` to ``images``, with
    their own batch-norm statistics. The class ratio of the target guides source-free segmentation in Bateson et al.
    (MedIA 2022, arXiv 2108.03152), who take it from anatomy.
    """
    if not model.dense:
        return None
    if labelled is not None:
        labels = labelled.labels.flatten()
        counts = torch.bincount(labels[labels != IGNORE], minlength=model.k).float()
        return counts / counts.sum().clamp_min(1)
    own = copy.deepcopy(model)
    models.reestimate_batch_norm(own, images)
    total = torch.zeros(model.k, dtype=torch.float64)
    for part in models.output_batches(own, images):
        total += pixels.rows(part[:, : model.k].softmax(1)).sum(0).double()
    return (total / total.sum()).float()


def information(model: Classifier, images: Tensor | Images, shares: Tensor | None = None) -> float:
    """`mutual_information` of the answers of ``model`` to all ``images``; those of pixels are not held together."""
    parts = models.output_batches(model, images)
    first = next(parts, torch.zeros(0, model.k))[:, : model.k]
    if first.ndim == 2:
        return float(mutual_information(torch.cat([first, *(part[:, : model.k] for part in parts)])))
    total, entropy, count = torch.zeros(model.k, dtype=torch.float64), 0.0, 0
    for part in itertools.chain([first], parts):
        log_p = pixels.rows(part[:, : model.k]).log_softmax(1)
        p = log_p.exp()
        total, count = total + p.sum(0).double(), count + len(p)
        entropy -= float((p * log_p).sum().double())
    return float(_together(total / count, shares, True)) - entropy / count


def information_and_mass(outputs: Tensor, k: int) -> Tensor:
    """The label-free score of logits (N, K + extra): mutual information plus mass, in nats.

    Mutual information is that of the K real classes. Mass is the mean log of the probability that they hold, at least
    −6 an image; it is 0 unless extra outputs take some.
    """
    mass = outputs.log_softmax(1)[:, :k].logsumexp(1).clamp_min(-6).mean()
    return mutual_information(outputs[:, :k]) + mass


def guess_score(outputs: Tensor, labels: Tensor | None, k: int) -> float:
    """How well a guess opens the lock, from the locked model's (N, K + extra) logits on images after the guess.

    It is the mean log-probability of ``labels`` (N,), each at least −6. Without labels it is `information_and_mass`,
    which a lock that is sure of wrong answers misleads. Of masks (N, H, W) it is the mean over their judged pixels.
    """
    if labels is None:
        return float(information_and_mass(outputs, k))
    outputs, labels = pixels.judged_rows(outputs, labels)
    return float(outputs.log_softmax(1).gather(1, labels[:, None]).clamp_min(-6).mean())


def highest(scores: Mapping[Name, float]) -> Name:
    """Whose score is highest, the first of equals; one that is not finite, as after a divergence, comes last."""
    return max(scores, key=lambda name: scores[name] if math.isfinite(scores[name]) else -math.inf)


def most_informative(
    candidates: Mapping[str, T], images: Images, shares: Tensor | None = None
) -> tuple[str, dict[str, float]]:
    """The label-free rule: the candidate with the highest mutual information on ``images``, and every finite score.

    A candidate that diverged has none and is not chosen.

    Args:
        shares: of the classes among pixels, as `class_shares` has them; None: those of the first candidate.
    """
    shares = class_shares(next(iter(candidates.values())), images) if shares is None else shares
    scores = {name: information(model, images, shares) for name, model in candidates.items()}
    return highest(scores), {name: score for name, score in scores.items() if math.isfinite(score)}


def most_accurate(candidates: Mapping[str, T], images: Images) -> tuple[str, dict[str, float]]:
    """The labelled rule: the candidate most accurate on ``images``, the attacker's own validation; first of equals.

    On masks it is the one with the highest mean IoU.
    """
    scores = {name: accuracy(model, images) for name, model in candidates.items()}
    return highest(scores), scores


def accuracy(model: Classifier, images: Images) -> float:
    """Accuracy of ``model`` on labelled ``images``, or its mean IoU on masks; percent."""
    return pixels.score(models.answers(model, images), images.labels, model.k)


class Best:
    """The best of candidates that come one after another, first of equals; no other one is kept.

    Args:
        score: of a candidate; the highest wins, and one that is not finite does not count.

    Attributes:
        name, model: of the best so far.
        scores: of all that are finite, by name.
    """

    name: str
    model: Classifier

    def __init__(self, score: Callable[[Classifier], float]) -> None:
        self._score = score
        self.scores: dict[str, float] = {}

    def add(self, name: str, model: Classifier) -> None:
        """Score ``model``, and keep it if it is better than all before it."""
        score = self._score(model)
        is_first, is_finite = not hasattr(self, "name"), math.isfinite(score)
        if is_first or (is_finite and score > self.scores.get(self.name, -math.inf)):
            self.name, self.model = name, model
        if is_finite:
            self.scores[name] = score
