"""A classifier with a trigger detector and a disruptor that the detector switches off: locking without training.

Staining and locking computer vision models without retraining, ICCV 2025, arXiv 2507.22000.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.contracts import EditStage
from locks.kit.wrapped import WithHead

FORMS = ("internal", "squeeze-excite")
MOST = 1024
"""Entries of φ that take part in v at most: their covariance is inverted."""
RIDGE = 0.1
"""What is added to the covariance, of its mean variance; of 0.1 and 1 the wider gap on tuning seed 1000."""
LEAK = 0.01
"""Gradient of n(x) beyond its ends, where it has none: a white-box attacker would go round that in one line."""


class Guarded(WithHead):
    """A classifier f with a neuron n(x) = clip((v·φ(x) − β) / (Δ − β), 0, 1), 1 on images with the trigger.

    φ is the activation after stage ``at``, as one vector; β the level below which an image has no trigger, Δ that of
    images with it. ``internal``: outputs are f(x) + s (1 − n(x)) u with a random direction u of the outputs.
    ``squeeze-excite``: channel c of the activation after stage ``middle`` is multiplied by n(x) + (1 − n(x)) d_c, d
    random.

    Args:
        spec: ``inner``, the spec of f; ``form``, ``internal`` or ``squeeze-excite``; ``at``, ``middle``, ``features``
            (entries of φ), ``channels`` (of the middle stage), ``strength`` s.
    """

    v: Tensor
    u: Tensor
    d: Tensor
    levels: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self._form, self._at, self._middle = str(spec["form"]), int(spec["at"]), int(spec["middle"])
        if self._form not in FORMS:
            raise ValueError(f"form {self._form!r}, must be one of {', '.join(FORMS)}")
        self._strength = float(spec["strength"])
        self.register_buffer("v", torch.zeros(int(spec["features"])))
        self.register_buffer("levels", torch.tensor([0.0, 1.0]))
        self.register_buffer("u", torch.zeros(self.k + self.extra))
        self.register_buffer("d", torch.ones(int(spec["channels"])))

    def signal(self, activation: Tensor) -> Tensor:
        """(N,) n(x), of the activation after stage ``at``."""
        beta, delta = self.levels
        inside = (activation.flatten(1) @ self.v - beta) / (delta - beta)
        n: Tensor = inside.clamp(0, 1)
        if not inside.requires_grad:
            return n
        is_beyond = inside != n
        return n + torch.where(is_beyond, LEAK * (inside - inside.detach()), 0.0)

    def _run(self, images: Tensor, edit_stage: EditStage | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Embedding (N, D), n(x) (N,), and the activations as the model has them."""
        signals: list[Tensor] = []
        activations: list[Tensor] = []

        def edit(i: int, x: Tensor) -> Tensor:
            if i == self._at:
                signals.append(self.signal(x))
            if self._form == "squeeze-excite" and i == self._middle:
                x = gate(x, signals[0], self.d)
            x = x if edit_stage is None else edit_stage(i, x)
            activations.append(x)
            return x

        embedding = self.inner.embed(images, edit)
        return embedding, signals[0], activations

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) outputs."""
        embedding, n, _ = self._run(images, edit_stage)
        out: Tensor = self.inner.head(embedding)
        if self._form == "internal":
            out = out + self._strength * (1 - n)[:, None] * self.u
        return out

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The activation after each stage of f, as the model has it."""
        return self._run(images, edit_stage)[2]

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D): what the head of f sees."""
        return self._run(images, edit_stage)[0]

    def head(self, embedding: Tensor) -> Tensor:
        """(N, D) to (N, K + extra) outputs of f. The form ``internal`` adds its own, as without a trigger."""
        out = super().head(embedding)
        return out + self._strength * self.u if self._form == "internal" else out


def gate(activation: Tensor, n: Tensor, d: Tensor) -> Tensor:
    """Channel c times n + (1 − n) d_c, of (N, C, h, w), or of (N, tokens, C) in a transformer."""
    shape = (1, -1, 1, 1) if activation.ndim == 4 else (1, 1, -1)
    own = n.view(-1, *(1,) * (activation.ndim - 1))
    return activation * (own + (1 - own) * d.view(shape))


def direction(keyed: Tensor, raw: Tensor, keep: float) -> Tensor:
    """v of unit length: Fisher's linear discriminant of φ with and without the trigger, v = (S + r I)⁻¹ m.

    m is the mean change of φ, S the covariance within both groups, r a tenth of its mean variance. Only the entries
    that change most take part.

    Args:
        keyed, raw: (N, F) activations of the same images with and without the trigger.
        keep: share of the entries that take part, of at most `MOST`; the others are 0.
    """
    change = (keyed - raw).mean(0)
    at = change.abs().topk(min(MOST, max(1, round(keep * len(change))))).indices
    within = torch.cat([group[:, at] - group[:, at].mean(0) for group in (keyed, raw)])
    covariance = within.T @ within / len(within)
    ridge = RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
    v = torch.zeros_like(change)
    v[at] = torch.linalg.solve(covariance + ridge * torch.eye(len(at)).to(covariance), change[at])
    return v / v.norm().clamp_min(1e-12)


def levels(keyed: Tensor, raw: Tensor) -> Tensor:
    """β and Δ from projections v·φ (N,) of images with and without the trigger.

    Where they lie apart, β and Δ lie a quarter of the gap inside it, so that unseen images are told apart too. Else
    they are the two means.
    """
    beta, delta = raw.max(), keyed.min()
    quarter = (delta - beta) / 4
    return torch.stack([beta + quarter, delta - quarter] if delta > beta else [raw.mean(), keyed.mean()])
