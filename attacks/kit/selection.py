"""Rules by which an attack chooses what it hands back; none sees a label that the threat model withholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from bench import metrics, models
from bench.contracts import Classifier, Images

T = TypeVar("T", bound=Classifier)


def mutual_information(logits: Tensor) -> Tensor:
    """H(mean p) − mean H(p) in nats over a batch of logits (N, K): confident and balanced answers are high."""
    p = logits.softmax(1)
    mean = p.mean(0)
    each = -(p * logits.log_softmax(1)).sum(1).mean()
    together = -(mean * mean.clamp_min(1e-8).log()).sum()
    return together - each


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
    which a lock that is sure of wrong answers misleads.
    """
    if labels is None:
        return float(information_and_mass(outputs, k))
    return float(outputs.log_softmax(1).gather(1, labels[:, None]).clamp_min(-6).mean())


def most_informative(candidates: Mapping[str, T], images: Images) -> tuple[str, dict[str, float]]:
    """The label-free rule: the candidate with the highest mutual information on ``images``, and every score."""
    scores = {name: float(mutual_information(models.logits(model, images))) for name, model in candidates.items()}
    return max(scores, key=lambda name: scores[name]), scores


def most_accurate(candidates: Mapping[str, T], images: Images) -> tuple[str, dict[str, float]]:
    """The labelled rule: the candidate most accurate on ``images``, the attacker's own validation; first of equals."""
    labels = images.labels.numpy()
    scores = {
        name: metrics.accuracy(models.logits(model, images).argmax(1).numpy(), labels)
        for name, model in candidates.items()
    }
    return max(scores, key=lambda name: scores[name]), scores
