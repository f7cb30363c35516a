"""What an owner does about an attacker who trains a head on frozen features: a simulated prober, and few weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.contracts import Classifier
from bench.parameters import layer_weights


def body(model: Classifier) -> dict[str, torch.nn.Parameter]:
    """Weights of the encoder by name: those of layers below the head, without norms and biases."""
    return layer_weights(model, head=False)


def highest(prohibited: Mapping[str, Tensor], own: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks (bool) over the weights that matter most to the prohibited domain for what they matter to the own one.

    The score of a weight is |g_t| / (|g_s| + mean |g_s|), with gradients of its layer's losses on both domains; the
    ``share`` of all weights with the highest scores is chosen, over all layers together.
    """
    scores = {n: g.abs() / (own[n].abs() + own[n].abs().mean() + 1e-12) for n, g in prohibited.items()}
    every = torch.cat([s.flatten() for s in scores.values()])
    mask = torch.zeros(len(every), dtype=torch.bool, device=every.device)
    mask[every.topk(max(1, round(share * len(every)))).indices] = True  # as many as said, also among equals
    parts = mask.split([s.numel() for s in scores.values()])
    return {n: part.view_as(scores[n]) for n, part in zip(scores, parts, strict=True)}


def scatter(phi_t: Tensor, phi_s: Tensor) -> Tensor:
    """Scatter of features φ_t (N, D) around their mean over that of φ_s (M, D): 0 where all are drawn into one."""
    return phi_t.var(0, unbiased=False).sum() / phi_s.var(0, unbiased=False).sum().clamp_min(1e-12)
