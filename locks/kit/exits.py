"""A frozen network with exits at several depths, and a route between them by how sure each is: ENL-DEE, CVPR 2026."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import EditStage
from locks.kit.wrapped import Wrapped


class Exits(nn.Module):
    """E exits side by side: exit e reads its own columns, draws a Gaussian latent, and classifies it.

    Two layers make all of them: a linear layer from the embedding to μ and log σ² of every latent, and one from the
    latents to every exit's outputs. What would lead from one exit to another is 0. In training mode
    z = μ + σ ξ with ξ ~ N(0, 1); in evaluation mode z = μ.

    Args:
        widths: columns of each exit.
        latent: d, entries of a latent.
        outputs: of each exit.
    """

    own: Tensor
    among: Tensor

    def __init__(self, widths: list[int], latent: int, outputs: int) -> None:
        super().__init__()
        self.count, self._latent, self._outputs = len(widths), latent, outputs
        self.gaussian = nn.Linear(sum(widths), 2 * latent * self.count)
        self.classify = nn.Linear(latent * self.count, outputs * self.count)
        self.register_buffer("own", _blocks([2 * latent] * self.count, widths), persistent=False)
        self.register_buffer("among", _blocks([outputs] * self.count, [latent] * self.count), persistent=False)

    def gaussians(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of every exit's latent: (N, E, d) each, log σ² in [−8, 8]."""
        both = nn.functional.linear(embedding, self.gaussian.weight * self.own, self.gaussian.bias)
        mean, log_variance = both.view(len(both), self.count, 2, self._latent).unbind(2)
        return mean, log_variance.clamp(-8, 8)

    def answers(self, latents: Tensor) -> Tensor:
        """(N, E, outputs) logits of latents (N, E, d)."""
        flat = nn.functional.linear(latents.flatten(1), self.classify.weight * self.among, self.classify.bias)
        return flat.view(len(latents), self.count, self._outputs)

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, E, outputs) logits of embeddings (N, ΣC)."""
        mean, log_variance = self.gaussians(embedding)
        if self.training:
            mean = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.answers(mean)


def _blocks(rows: list[int], columns: list[int]) -> Tensor:
    """Ones in blocks along the diagonal, zeros elsewhere."""
    return torch.block_diag(*(torch.ones(r, c) for r, c in zip(rows, columns, strict=True)))


class Routed(Wrapped):
    """A frozen classifier f whose stages each have an exit; answers are log Σ_e r_e p_e with r_e ∝ exp(−H(p_e) / τ).

    The embedding is the mean over places of each routed stage's activation, one beside the other; the last exit reads
    the embedding of f. f stays in evaluation mode.

    Args:
        spec: ``inner``, the spec of f; ``stages`` that have an exit before the last; ``widths``, the channels of each
            exit; ``latent``; ``temperature`` τ.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self._stages, self._temperature = list(spec["stages"]), float(spec["temperature"])
        self.last = Exits(list(spec["widths"]), int(spec["latent"]), self.k + self.extra)

    def train(self, mode: bool = True) -> Routed:
        """Exits in training mode; f stays in evaluation mode."""
        super().train(mode)
        self.inner.eval()
        return self

    def _run(self, images: Tensor, edit_stage: EditStage | None) -> tuple[Tensor, list[Tensor]]:
        activations: list[Tensor] = []

        def tap(i: int, activation: Tensor) -> Tensor:
            out = activation if edit_stage is None else edit_stage(i, activation)
            activations.append(out)
            return out

        final = self.inner.embed(images, tap)
        return torch.cat([*(pool(activations[i]) for i in self._stages), final], 1), activations

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, ΣC): what the exits read."""
        return self._run(images, edit_stage)[0]

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The activation after each stage of f."""
        return self._run(images, edit_stage)[1]

    def exits(self, embedding: Tensor) -> Tensor:
        """(N, E, K + extra) logits of every exit, the shallowest first."""
        out: Tensor = self.last(embedding)
        return out

    def head(self, embedding: Tensor) -> Tensor:
        """(N, ΣC) embeddings to (N, K + extra) outputs."""
        return mixture(self.exits(embedding), self._temperature)

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) outputs: log-probabilities."""
        return self.head(self.embed(images, edit_stage))


def pool(activation: Tensor) -> Tensor:
    """(N, C): the mean over places of (N, C, h, w), or over tokens of (N, tokens, C)."""
    return activation.mean((2, 3)) if activation.ndim == 4 else activation.mean(1)


def log_route(logits: Tensor, temperature: float) -> Tensor:
    """(N, E) log r_e of the routing weights r_e ∝ exp(−H(p_e) / τ) of the exits' logits (N, E, M), H in nats.

    It is finite, and so is its gradient, where r_e itself is too small for its type.
    """
    log_p = logits.log_softmax(2)
    entropy = -(log_p.exp() * log_p).sum(2)
    return (-entropy / temperature).log_softmax(1)


def mixture(logits: Tensor, temperature: float) -> Tensor:
    """(N, M) log Σ_e r_e p_e of the exits' logits (N, E, M)."""
    return (log_route(logits, temperature)[:, :, None] + logits.log_softmax(2)).logsumexp(1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed over the latent, mean over images and exits."""
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.sum(-1).mean()
