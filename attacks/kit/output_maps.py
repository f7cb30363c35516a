"""Linear maps of a locked model's outputs, and how they are fitted to a few labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from bench.contracts import IGNORE
from bench.pixels import score

Map = tuple[Tensor, Tensor]
"""W (K, M) and b (K,)."""
Fit = Callable[[Tensor, Tensor], Map]
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of which λ is chosen."""


def even_out(outputs: Tensor, rounds: int, goal: Tensor | None = None) -> Tensor:
    """The bias b (K,) that makes the mean of softmax(outputs + b) over images uniform.

    Args:
        outputs: (N, K).
        rounds: of the iteration.
        goal: (K,) positive shares of the classes to reach in place of equal ones.
    """
    bias = -outputs.mean(0)  # what a lock adds to all answers alike is off before the first round
    for _ in range(rounds):
        prior = (outputs + bias).softmax(1).mean(0).clamp_min(1e-6)
        excess = prior.log() if goal is None else prior.log() - goal.log()
        bias = bias - 0.5 * (excess - excess.mean())
    return bias


def fixed(answer_map: Map) -> Fit:
    """A fit that gives ``answer_map`` whatever the labels."""
    return lambda _outputs, _labels: answer_map


def skewness(outputs: Tensor) -> Tensor:
    """The skewness (N,) of each row of ``outputs`` (N, K): mean ((o − m) / s)³ with m and s of the row."""
    centred = outputs - outputs.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    return (centred / spread).pow(3).mean(1)


def margin(outputs: Tensor) -> float:
    """Mean gap between the best and the second answer of outputs (N, K), in deviations of the outputs; 0 without any.

    Outputs are taken less their means over images, so that a class that is answered always has no advantage.
    """
    centred = outputs - outputs.mean(0)
    top = centred.topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).mean() / centred.square().mean().sqrt().clamp_min(1e-12))


def sign_of(outputs: Tensor) -> float:
    """1 where one class stands out above the others in ``outputs`` (N, K), −1 where one stands out below them.

    It is the sign of the mean `skewness` of the outputs less their mean over the images. It is 1 where none stands out:
    with two classes both do, and an output that is not finite says nothing.
    """
    return -1.0 if outputs.shape[1] > 2 and float(skewness(outputs - outputs.mean(0)).mean()) < 0 else 1.0


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


def spread(base: Map, outputs: Tensor, trust: float) -> Map:
    """``base`` with answers to ``outputs`` (N, M) that vary over classes ``trust`` times as one-hot labels do.

    The root mean square of one-hot labels around their mean is √(K − 1) / K.
    """
    weight, bias = base
    k = len(weight)
    centring = torch.eye(k) - 1 / k  # what is common to all classes says nothing
    weight, bias = centring @ weight, centring @ bias
    now = (outputs @ weight.T + bias).square().mean().sqrt().clamp_min(1e-8)
    factor = trust * (k - 1) ** 0.5 / k / now
    return factor * weight, factor * bias


def half_whitening(outputs: Tensor) -> Tensor:
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


FOLDS = 20
"""Parts of the labelled images that are left out in turn, at most."""


def leave_images_out(fit: Fit, outputs: Tensor, labels: Tensor, k: int) -> tuple[float, float]:
    """Of maps fitted on the pixels of the other labelled images: their mean IoU in [0, 1], and the log-probability.

    Args:
        fit: takes rows (M, C) and labels (M,).
        outputs: (N, P, C), some pixels of each image.
        labels: (N, P), with `IGNORE` where a pixel is not judged.
        k: K, the number of real classes.
    """
    if len(outputs) < 2:  # of one image the halves are left out in turn
        half = outputs.shape[1] // 2
        outputs, labels = (t[:, : 2 * half].view(2, half, *t.shape[2:]) for t in (outputs, labels))
    fold = torch.arange(len(outputs)) % FOLDS
    answers, likely = torch.zeros_like(labels), torch.zeros(labels.shape)
    for out in fold.unique():
        weight, bias = fit(*judged(outputs[fold != out], labels[fold != out]))
        scores = outputs[fold == out] @ weight.T + bias
        answers[fold == out] = scores.argmax(2)
        likely[fold == out] = scores.log_softmax(2).gather(2, labels[fold == out].clamp_min(0)[..., None])[..., 0]
    return score(answers[..., None], labels[..., None], k) / 100, float(likely[labels != IGNORE].mean())


def judged(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (N, P, C) and labels (N, P) as rows (M, C) and (M,), without those that are `IGNORE`."""
    return outputs[labels != IGNORE], labels[labels != IGNORE]
