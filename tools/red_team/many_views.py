"""Many views of the frozen model agree on names; two learners of different start teach each other."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from bench import models
from bench.augment import jitter, recolour
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


def mutual_information(logits: Tensor) -> Tensor:
    """Mutual information of image and answer, in nats: H(mean p) - mean H(p); logits (N, K)."""
    p, log = logits.softmax(1), logits.log_softmax(1)
    mean = p.mean(0)
    return -(mean * mean.clamp_min(1e-8).log()).sum() + (p * log).sum(1).mean()


def balanced(scores: Tensor, rounds: int = 30) -> Tensor:
    """Log posteriors (N, K) of ``scores`` with a bias a class, so that every class has the same mass."""
    log = scores.log_softmax(1)
    n, k = log.shape
    for _ in range(rounds):
        log = log - (log.logsumexp(0, keepdim=True) - math.log(n / k)) * 0.7
        log = log.log_softmax(1)
    return log


def sharpened(scores: Tensor) -> Tensor:
    """``scores`` at the temperature that makes the balanced posteriors' mean entropy half of its maximum."""
    scores = scores - scores.mean(1, keepdim=True)
    low, high = 1e-3, 1e3
    for _ in range(25):
        mid = math.sqrt(low * high)
        log = (scores / mid).log_softmax(1)
        if float(-(log.exp() * log).sum(1).mean()) > 0.4 * math.log(scores.shape[1]):
            high = mid
        else:
            low = mid
    return balanced(scores / mid)


def assign(score: Tensor) -> Tensor:
    """For each cluster (row) its class (column), one to one, of the greatest total score."""
    rows, columns = linear_sum_assignment(-score.cpu().double().numpy())
    out = torch.zeros(len(score), dtype=torch.int64)
    out[torch.as_tensor(rows)] = torch.as_tensor(columns)
    return out


def ways(images: Tensor) -> dict[str, Tensor]:
    """Generic photometric changes of ``images`` (N, 3, H, W) in [0, 1]; none knows the data."""
    grey = images.mean(1, keepdim=True).expand_as(images)
    low = grey.flatten(1).quantile(0.02, dim=1)[:, None, None, None]
    high = grey.flatten(1).quantile(0.98, dim=1)[:, None, None, None]
    stretched = ((grey - low) / (high - low).clamp_min(0.05)).clamp(0, 1)
    edge = torch.cat([stretched[..., 0, :], stretched[..., -1, :], stretched[..., 0], stretched[..., -1]], -1)
    border = edge.mean((1, 2))[:, None, None, None]  # what lies at the border is taken for the ground
    dark = torch.where(border > 0.5, 1 - stretched, stretched)
    half = F.interpolate(F.interpolate(dark, scale_factor=0.25, mode="area"), images.shape[2:], mode="bicubic")
    return {
        "plain": images, "negative": 1 - images, "grey": grey, "stretched": stretched, "dark ground": dark,
        "light ground": 1 - dark, "coarse": half.clamp(0, 1),
    }  # fmt: skip


def shared(a: Tensor, b: Tensor, k: int) -> float:
    """Mutual information, in nats, of two lists of classes (N,)."""
    joint = torch.zeros(k, k)
    joint.index_put_((a, b), torch.ones(len(a)), accumulate=True)
    joint = joint / joint.sum()
    outer = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint.clamp_min(1e-9) / outer.clamp_min(1e-9)).log()).sum())


class ManyViews(Attack):
    """Consensus of the frozen model's balanced answers to changed images; then two learners that teach each other."""

    title = "many views"
    paper = "ours"
    selection = "last"

    steps: int = param(150, "optimiser steps of each phase", ge=1, le=100_000)
    rate: float = param(1e-3, "peak learning rate", ge=1e-6, le=1)
    rounds: int = param(2, "phases", ge=1, le=20)
    augment: str = param("jitter", "augmentation", choices=("jitter", "recolour"))
    fixed: float = param(1.0, "weight of the pseudo-labels", ge=0, le=100)

    def accepts(self, threat: ThreatModel) -> Acceptance:  # noqa: D102
        return threat.grants(["weights", "logits"], unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:  # noqa: D102
        self.k, self.run = target.spec.k, run
        pool = target.unlabelled
        labelled = target.labelled if target.threat.share > 0 else None
        white = target.threat.access == "weights"
        evidence = self.consensus(self.evidence(target, white, pool.images.to(run.device)))
        posterior = evidence.exp()
        learners = [target.public_model()]
        if white:
            own = copy.deepcopy(target.classifier)
            models.reestimate_batch_norm(own, pool)
            learners.insert(0, own)
        for i in range(self.rounds):
            logs = []
            for j, learner in enumerate(learners):
                learner.requires_grad_(True)
                self.adapt(learner, pool, labelled, posterior, f"phase {i} {j}")
                run.submit(Direct(copy.deepcopy(learner)), phase=i, learner=j)
                log = balanced(models.logits(learner, pool).cpu())
                logs.append(self.named(log, evidence) if labelled is None else log)
            posterior = balanced(torch.stack(logs).mean(0)).exp()
        last = learners[0]
        self.adapt(last, pool, labelled, posterior, "last")
        return Direct(last)

    def evidence(self, target: AttackerView, white: bool, images: Tensor) -> dict[str, Tensor]:
        """(N, K) logits of the locked model by name of the view, also with batch statistics of the view."""

        def ask(x: Tensor) -> Tensor:
            if white:
                return models.logits(model, x)
            return torch.cat([target.query(part)[:, : self.k].cpu() for part in x.split(128)])

        model = copy.deepcopy(target.classifier).eval() if white else None
        found = {name: ask(x) for name, x in ways(images).items()}
        if white and models.has_batch_norm(model):
            for name, x in ways(images).items():
                model = copy.deepcopy(target.classifier).eval()
                models.reestimate_batch_norm(model, x)
                found[f"{name}, own statistics"] = ask(x)
        return found

    def consensus(self, found: dict[str, Tensor], rounds: int = 4) -> Tensor:
        """Balanced log posteriors (N, K): views weighted by what each shares with the others' weighted mean."""
        logs = {name: sharpened(raw.cpu()) for name, raw in found.items()}
        weight = {name: float(mutual_information(raw.cpu())) for name, raw in found.items()}
        for _ in range(rounds):
            total = sum(w * logs[n] for n, w in weight.items()) / sum(weight.values())
            new = {}
            for name, log in logs.items():
                rest = total - weight[name] * log / sum(weight.values())
                new[name] = max(1e-3, shared(log.argmax(1), balanced(rest).argmax(1), self.k)) ** 2
            weight = new
        self.weights = weight
        return sharpened(sum(w * logs[n] for n, w in weight.items()) / sum(weight.values()))

    def named(self, log: Tensor, evidence: Tensor) -> Tensor:
        """``log`` with its clusters named by the evidence, one to one."""
        clusters = log.argmax(1)
        score = torch.zeros(self.k, self.k).index_add_(0, clusters, evidence.clamp_min(-4))
        out = torch.empty_like(log)
        out[:, assign(score)] = log
        return out

    def adapt(self, learner: Classifier, pool: Images, labelled: Images | None, pseudo: Tensor, name: str) -> None:
        """Train ``learner`` in place on the answers ``pseudo`` (N, K), information and labels."""
        pseudo = pseudo.to(self.run.device)
        sure = pseudo.max(1).values
        done = [0]

        def loss(batch, few=None):
            done[0] += 1
            count = len(batch.images)
            x = batch.images if few is None else torch.cat([batch.images, few.images])
            out = learner(x)[:, : self.k]
            own, at = out[:count], batch.index.to(pseudo.device)
            lead = (-(pseudo[at] * own.log_softmax(1)).sum(1) * sure[at]).mean()
            value = self.fixed * lead * (1 - 0.7 * done[0] / self.steps) - mutual_information(own)
            return value if few is None else value + F.cross_entropy(out[count:], few.labels)

        sources = [pool] if labelled is None else [pool, labelled]
        self.run.fit(
            learner, loss, self.steps, *sources, rate=self.rate, batch=64 if labelled is None else [64, 20],
            augment=jitter if self.augment == "jitter" else recolour, name=name,
        )  # fmt: skip
        models.reestimate_batch_norm(learner, pool)
