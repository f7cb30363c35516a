"""Randomised smoothing: a classifier that answers by the votes of noisy copies, and the radius it is certified for.

Cohen, Rosenfeld, Kolter: Certified Adversarial Robustness via Randomized Smoothing, ICML 2019, arXiv 1902.02918.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import beta, norm
from torch import Tensor

from bench.contracts import Classifier, EditStage
from locks.kit.wrapped import WithHead

SMALLEST = 1e-3
"""Share of votes that a class without any has, so that its score is finite."""


class Smoothed(WithHead):
    """In evaluation mode g(x) = log of the share of votes argmax f(x + ε), ε ~ N(0, σ²); in training mode f(x + ε).

    The copies' noise is drawn once from ``seed``, the same for every image, so that answers repeat and depend on no
    other image of a batch. Votes have no gradient: in evaluation mode it is that of the log of the mean softmax.

    Args:
        spec: ``inner``, the spec of f; ``sigma`` of the whole range; ``votes``; ``seed``.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self._sigma, self._votes, self._seed = float(spec["sigma"]), int(spec["votes"]), int(spec["seed"])

    @classmethod
    def of(cls, inner: Classifier, sigma: float, votes: int, seed: int) -> Smoothed:
        """``inner`` answering under noise, with its weights."""
        own = {"class": f"{__name__}:Smoothed", "sigma": sigma, "votes": votes, "seed": seed}
        out = cls({**own, "inner": inner.spec, "extra": inner.extra})
        out.inner.load_state_dict(inner.state_dict())
        return out.to(next(inner.parameters()).device)

    def noise(self, shape: tuple[int, ...], at: int) -> Tensor:
        """The noise of copy ``at``: one image (3, H, W) float32, σ its standard deviation."""
        rng = torch.Generator().manual_seed(self._seed + at)
        return self._sigma * torch.randn(shape, generator=rng)

    def counts(self, images: Tensor) -> Tensor:
        """(N, K + extra) int64: the votes of each class."""
        return self._poll(images)[0]

    def _poll(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Votes and the log of the sum of softmax, (N, K + extra) each."""
        n, classes = len(images), self.k + self.extra
        votes = torch.zeros(n, classes, dtype=torch.int64, device=images.device)
        soft = torch.full((n, classes), -math.inf, device=images.device)
        for at in range(self._votes):
            logits = self.inner(images + self.noise(tuple(images.shape[1:]), at).to(images))
            votes += F.one_hot(logits.argmax(1), classes)
            soft = torch.logaddexp(soft, logits.log_softmax(1))
        return votes, soft

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) scores; with ``edit_stage`` the outputs of f on images without noise, as its stages are."""
        if edit_stage is not None and not self.training:
            plain: Tensor = self.inner(images, edit_stage)
            return plain
        if self.training:
            noisy = images + self._sigma * torch.randn_like(images)
            out: Tensor = self.inner(noisy, edit_stage)
            return out
        votes, soft = self._poll(images)
        score = (votes / self._votes).clamp(min=SMALLEST).log()
        return score + (soft - soft.detach()) if soft.requires_grad else score

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """Those of f on images without noise."""
        return self.inner.features(images, edit_stage)

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D) of f on images without noise."""
        return self.inner.embed(images, edit_stage)


def radius(votes: int, of: int, sigma: float, alpha: float = 0.001) -> float:
    """R = σ Φ⁻¹(p_A): no change of the image with an L2 norm below it changes the class of the smoothed classifier.

    Args:
        votes: for the class, of copies that are independent of those which chose it.
        of: copies.
        sigma: σ.
        alpha: chance that p_A, the lower Clopper-Pearson bound of the class's share, lies above the true one.

    Returns:
        0 where the class is not certified.
    """
    if votes == 0:
        return 0.0
    lower = float(beta.ppf(alpha, votes, of - votes + 1))
    return max(0.0, sigma * float(norm.ppf(lower)))


@torch.no_grad()
def certified_radii(model: Smoothed, images: Tensor, labels: Tensor, votes: int, alpha: float = 0.001) -> Tensor:
    """(N,) float: the radius within which the class of each image is certified and right; −1 where it is not.

    ``model`` chooses the class. Copies with other noise bound its share.

    Args:
        labels: (N,) int64.
        votes: copies that bound the share.
    """
    other = Smoothed.of(model.inner, model.spec["sigma"], votes, model.spec["seed"] + model.spec["votes"]).eval()
    chosen = model.eval()(images).argmax(1)
    counts = other.counts(images).gather(1, chosen[:, None])[:, 0]
    radii = [radius(int(n), votes, model.spec["sigma"], alpha) for n in counts]
    out = torch.tensor(radii, device=images.device)
    return torch.where((chosen == labels) & (out > 0), out, torch.full_like(out, -1.0))
