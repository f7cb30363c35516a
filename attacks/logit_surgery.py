"""Logit surgery: drop outputs, undo a bias or a permutation. Opens locks that hide in the last layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from attacks._access import ask, handle
from attacks._students import affordable
from bench.contracts import Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.predictors import LogitMap

Map = tuple[Tensor, Tensor]
"""W (K, M) and b (K,)."""
Fit = Callable[[Tensor, Tensor], Map]
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of which λ is chosen."""


class LogitSurgery(Attack):
    """A linear map of the locked model's outputs, fitted on what images the attacker has.

    Without labels: the first K outputs, class priors evened out on un-labelled images. With a few, one of these is the
    base, by leave-one-out accuracy, the likelier of equals: the first K outputs; the best one-to-one renaming by the
    labels, of the K outputs or of all; either evened out. A ridge regression of the labels on the outputs, shrunk
    towards the base and not towards 0, is handed back: with one label a class, leave-one-out cannot judge it, since it
    never saw the class that was left out. How far it is shrunk is told by the evidence: little where the base is wrong.
    """

    title = "logit surgery"
    paper = "ours; prior correction after Saerens et al., 2002; evidence after MacKay, Bayesian Interpolation, 1992"
    selection = "leave-one-out on labelled images for the base, evidence for how far it is left"
    defaults = {"threat.access": "logits", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}

    rounds: int = param(30, "rounds of evening out the class priors", ge=1, le=1000)
    trust: float = param(3.0, "spread of the base's answers, where that of one-hot labels is 1", ge=0, le=100)
    ridge: float | None = param(
        None, "λ of the regression, on outputs of unit variance; none: by its evidence", ge=1e-6, le=1e6
    )

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access in ("weights", "logits") and (threat.share > 0 or threat.unlabelled)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        k = target.spec.k
        inner = handle(target)
        run.submit(inner, what="as it is")  # whatever the budget, something was handed in
        labelled = target.labelled if target.threat.share > 0 else None
        seen, labels = None, None
        if labelled is not None and labelled.labels is not None:
            n = affordable(target, run, len(labelled))
            seen, labels = ask(target, labelled.images[:n]), labelled.labels[:n]
        answered = [] if seen is None else [seen]
        if target.threat.unlabelled:
            pool = target.unlabelled.images
            pool = pool[: affordable(target, run, len(pool))]
            answered += [ask(target, pool)] if len(pool) else []
        if not sum(map(len, answered)):
            return inner
        free = torch.cat(answered)
        m = free.shape[1]

        def dropped(_outputs: Tensor, _labels: Tensor) -> Map:
            return torch.eye(k, m), torch.zeros(k)

        def evened(fit: Fit) -> Fit:
            def both(outputs: Tensor, labels: Tensor) -> Map:
                weight, _ = fit(outputs, labels)
                return weight, even_out(free @ weight.T, self.rounds)

            return both

        candidates: dict[str, Fit] = {"drop": dropped, "drop and even out": evened(dropped)}
        if seen is None or labels is None or not len(seen):
            weight, bias = candidates["drop and even out"](free, torch.zeros(0))
            self._submit(inner, dropped(free, torch.zeros(0)), run, "drop", None)
            return self._submit(inner, (weight, bias), run, "drop and even out", None)
        candidates["rename"] = lambda o, y: (rename(o, y, k, k), torch.zeros(k))
        candidates["rename and even out"] = evened(candidates["rename"])
        if m > k:
            candidates["rename, extra outputs too"] = lambda o, y: (rename(o, y, k, m), torch.zeros(k))
        scores = {name: leave_one_out(fit, seen, labels) for name, fit in candidates.items()}
        for name, fit in candidates.items():
            self._submit(inner, fit(seen, labels), run, name, round(scores[name][0], 4))
        chosen = max(scores, key=lambda name: scores[name])
        base = spread(candidates[chosen](seen, labels), free, self.trust)
        axes = evened_axes(free)
        ridge = likeliest(seen @ axes, residual(seen, labels, base)) if self.ridge is None else self.ridge
        made = regression(seen, labels, base, ridge, axes)
        return self._submit(inner, made, run, f"regression from: {chosen}, λ {ridge:g}", None)

    @staticmethod
    def _submit(inner: Predictor, found: Map, run: Run, what: str, score: float | None) -> LogitMap:
        weight, bias = found
        made = LogitMap(inner, *weight.shape).set(weight, bias)
        run.submit(made, what=what, score=score)
        return made


def even_out(outputs: Tensor, rounds: int) -> Tensor:
    """The bias b (K,) that makes the mean of softmax(outputs + b) over images uniform."""
    bias = torch.zeros(outputs.shape[1])
    for _ in range(rounds):
        prior = (outputs + bias).softmax(1).mean(0).clamp_min(1e-6)
        bias = bias - 0.5 * (prior.log() - prior.log().mean())
    return bias


def rename(outputs: Tensor, labels: Tensor, k: int, among: int) -> Tensor:
    """The (K, M) permutation that gives the labels the most log-probability, one output to each class.

    Args:
        among: how many of the M outputs may stand for a class, the first ones; extra outputs that decoys made strong
            would otherwise take part in every probability.
    """
    gain = torch.zeros(k, among)
    gain.index_add_(0, labels, outputs[:, :among].log_softmax(1))
    rows, columns = linear_sum_assignment(gain.numpy(), maximize=True)
    weight = torch.zeros(k, outputs.shape[1])
    weight[rows, columns] = 1.0
    return weight


def spread(found: Map, outputs: Tensor, trust: float) -> Map:
    """``found`` with answers to ``outputs`` (N, M) that vary over classes ``trust`` times as one-hot labels do.

    The root mean square of one-hot labels around their mean is √(K − 1) / K.
    """
    weight, bias = found
    k = len(weight)
    centred = torch.eye(k) - 1 / k  # what is common to all classes says nothing
    weight, bias = centred @ weight, centred @ bias
    now = (outputs @ weight.T + bias).square().mean().sqrt().clamp_min(1e-8)
    factor = trust * (k - 1) ** 0.5 / k / now
    return factor * weight, factor * bias


def evened_axes(outputs: Tensor) -> Tensor:
    """C^(−1/4) (M, M) of the covariance C of ``outputs`` (N, M), scaled so that they get unit mean variance by it.

    Halfway to whitening: what a lock has made faint in the outputs is penalised less, and noise is not blown up.
    """
    m = outputs.shape[1]
    if len(outputs) < 2:
        return torch.eye(m)
    values, axes = torch.linalg.eigh(torch.cov(outputs.T).view(m, m).double())
    values = values.clamp_min(1e-4 * float(values.max().clamp_min(1e-12)))
    scale = values.sqrt().mean().sqrt()  # of the variances after it
    return (axes @ torch.diag(values**-0.25 / scale) @ axes.T).float()


def residual(outputs: Tensor, labels: Tensor, base: Map) -> Tensor:
    """(N, K): one-hot labels less the answers of ``base`` to outputs (N, M)."""
    weight, bias = base
    return torch.nn.functional.one_hot(labels, len(weight)) - (outputs @ weight.T + bias)


def likeliest(x: Tensor, r: Tensor) -> float:
    """The λ of `RIDGES` with the highest `evidence`."""
    return max(RIDGES, key=lambda ridge: evidence(x.double(), r.double(), ridge))


def evidence(x: Tensor, r: Tensor, ridge: float) -> float:
    """log p(r | x, λ) but for a constant: r = x D + 1 bᵀ + noise of variance σ², D normal of variance σ² / λ, b free.

    σ² is the likeliest. Of the K columns of r (N, K) one follows from the others, so K − 1 count.
    """
    x, r = x - x.mean(0), r - r.mean(0)
    n, k = len(x) - 1, r.shape[1] - 1
    if n < 1 or k < 1:
        return 0.0
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    u, s = u[:, :n], s[:n]  # the mean is taken out: one direction less
    variance = 1 + s.square() / ridge
    along = (u.T @ r).square().sum(1)
    across = (r.square().sum() - along.sum()).clamp_min(0)
    noise = ((along / variance).sum() + across).clamp_min(1e-12) / (n * k)
    return float(-0.5 * k * (variance.log().sum() + n * noise.log()))


def regression(outputs: Tensor, labels: Tensor, base: Map, ridge: float, axes: Tensor) -> Map:
    """argmin_{W, b} Σ ‖e_y − W o − b‖² + λ ‖(W − W₀) A⁻¹‖² over outputs o (N, M); W₀ of ``base``, A (M, M) ``axes``."""
    x, r = (outputs @ axes).double(), residual(outputs, labels, base).double()
    centre, mean = x.mean(0), r.mean(0)
    gram = (x - centre).T @ (x - centre) + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, (x - centre).T @ (r - mean)).T
    bias = mean - weight @ centre
    return base[0] + weight.float() @ axes.T, base[1] + bias.float()


def leave_one_out(fit: Fit, outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Of maps fitted on the other labelled images: the share of images answered rightly, and their log-probability."""
    right, likely = 0, 0.0
    for i in range(len(labels)):
        others = torch.arange(len(labels)) != i
        weight, bias = fit(outputs[others], labels[others])
        answer = outputs[i] @ weight.T + bias
        right += int(answer.argmax() == labels[i])
        likely += float(answer.log_softmax(0)[labels[i]])
    return right / len(labels), likely / len(labels)
