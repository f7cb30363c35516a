"""Logit surgery: drop outputs, undo a bias or a permutation. Opens locks that hide in the last layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from attacks._access import ask, handle
from bench.contracts import Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import LogitMap

Fit = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


class LogitSurgery(Attack):
    """A linear map of the locked model's outputs, fitted on what images the attacker has.

    Candidates: the first K outputs; the same with class priors evened out on un-labelled images; the best
    one-to-one renaming of the outputs by a few labelled images. With labels, the candidate with the best
    leave-one-out accuracy is handed back; without, the evened priors.
    """

    title = "logit surgery"
    paper = "ours; prior correction after Saerens et al., 2002"
    selection = "leave-one-out on labelled images"
    defaults = {"threat.access": "logits", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}

    rounds: int = param(30, "rounds of evening out the class priors", ge=1, le=1000)

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access in ("weights", "logits") and (threat.share > 0 or threat.unlabelled)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        k = target.spec.k
        inner = handle(target)
        labelled = target.labelled if target.threat.share > 0 else None
        seen = ask(target, labelled.images) if labelled is not None else None
        labels = labelled.labels if labelled is not None else None
        free = ask(target, target.unlabelled.images) if target.threat.unlabelled else seen
        assert free is not None
        m = free.shape[1]
        candidates: dict[str, Fit] = {
            "drop": lambda _o, _y: (torch.eye(k, m), torch.zeros(k)),
            "drop and even out": lambda _o, _y: (torch.eye(k, m), even_out(free[:, :k], self.rounds)),
        }
        if seen is not None:
            candidates["rename"] = lambda o, y: (rename(o, y, k), torch.zeros(k))
        best, best_score = "drop and even out", -1.0
        for name, fit in candidates.items():
            weight, bias = fit(seen if seen is not None else free, labels)
            score = leave_one_out(fit, seen, labels) if seen is not None and labels is not None else 0.0
            run.submit(LogitMap(inner, k, m).set(weight, bias), what=name, score=round(score, 4))
            if score > best_score + 1e-9 and seen is not None:
                best, best_score = name, score
        weight, bias = candidates[best](seen if seen is not None else free, labels)
        return LogitMap(inner, k, m).set(weight, bias)


def even_out(outputs: Tensor, rounds: int) -> Tensor:
    """The bias b (K,) that makes the mean of softmax(outputs + b) over images uniform."""
    bias = torch.zeros(outputs.shape[1])
    for _ in range(rounds):
        prior = (outputs + bias).softmax(1).mean(0).clamp_min(1e-6)
        bias = bias - 0.5 * (prior.log() - prior.log().mean())
    return bias


def rename(outputs: Tensor, labels: Tensor | None, k: int) -> Tensor:
    """The (K, M) permutation that gives the labels the most log-probability, one output to each class."""
    assert labels is not None
    gain = torch.zeros(k, outputs.shape[1])
    gain.index_add_(0, labels, outputs.log_softmax(1))
    rows, columns = linear_sum_assignment(gain.numpy(), maximize=True)
    weight = torch.zeros(k, outputs.shape[1])
    weight[rows, columns] = 1.0
    return weight


def leave_one_out(fit: Fit, outputs: Tensor, labels: Tensor) -> float:
    """Share of labelled images answered rightly by a map fitted on the others."""
    right = 0
    for i in range(len(labels)):
        others = torch.arange(len(labels)) != i
        weight, bias = fit(outputs[others], labels[others])
        right += int((outputs[i] @ weight.T + bias).argmax() == labels[i])
    return right / len(labels)
