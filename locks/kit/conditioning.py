"""How well gradient descent can train a linear head on features: the singular values of their second moments.

Model immunisation by the condition number, ICML 2025, arXiv 2505.23760 (public code Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-12
"""What a gap is at least, before it is divided by."""
FLOOR = 1e-6
"""Share of the mean singular value that is added to each in κ: a channel that is never active has a σ of 0."""


def spectrum(features: Tensor) -> Tensor:
    """(k,) singular values σ₁ ≥ … ≥ σ_k of H = φᵀφ, float64, of features φ (N, D).

    k is the lesser of N and D: with fewer images than features the other values are 0 whatever the features are.
    """
    n, d = features.shape
    phi = features.double()
    gram = phi.T @ phi if d <= n else phi @ phi.T
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)


def even(sigma: Tensor) -> Tensor:
    """``sigma`` (k,) over its mean: what larger features alone would change is taken out."""
    return sigma / sigma.mean().clamp_min(LEAST)


def ill(sigma: Tensor, gradient: str = "exact") -> Tensor:
    """R_ill(S) = 1 / (‖S‖_F² / (2k) − σ_min² / 2) of the k singular values of S: small where they lie far apart.

    Args:
        sigma: (k,), largest first.
        gradient: ``exact``; or ``published``: as the public code has it, with (‖S‖_F / (2k) + σ_min² / 2)² in place
            of the square of the gap under the gradient. The value is the same.
    """
    k = len(sigma)
    gap = sigma.square().sum() / (2 * k) - sigma[-1].square() / 2
    if gradient == "exact":
        return 1 / gap.clamp_min(LEAST)
    under = (sigma.square().sum().sqrt() / (2 * k) + sigma[-1].square() / 2).square().detach()
    return 1 / gap.detach().clamp_min(LEAST) - (gap - gap.detach()) / under.clamp_min(LEAST)


def well(sigma: Tensor) -> Tensor:
    """R_well(S) = σ_max² / 2 − ‖S‖_F² / (2k) of the k singular values of S, largest first: 0 where they are equal."""
    return sigma[0].square() / 2 - sigma.square().sum() / (2 * len(sigma))


def kappa(sigma: Tensor) -> Tensor:
    """κ = (σ_max + δ) / (σ_min + δ), δ = `FLOOR` times their mean: the condition number of H + δ I."""
    delta = FLOOR * sigma.mean() + LEAST
    return (sigma[0] + delta) / (sigma[-1] + delta)
