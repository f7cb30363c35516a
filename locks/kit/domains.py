"""Unauthorised images made from authorised ones, for locks whose owner has none."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Batch, Classifier, Images, Run
from bench.gradients import without_gradients
from bench.synthesis import colour_filter
from locks.kit.family import mmd, stage, with_stages

LEVELS = (0.1, 0.2, 0.3, 0.4)
"""MMD to the source at which an augmented domain is taken."""
DIRECTIONS = 4


def augmented_domains(model: Classifier, source: Images, run: Run) -> Images:
    """``source`` moved away from itself in several directions, with the same labels.

    A direction is a random 3 × 3 convolution with a random colour map; a copy of the source is blended with it just
    as far as its MMD to the source, on the model's middle activation, reaches each level (or as far as it goes).

    Returns:
        a random quarter of ``source`` for each direction and level: 4 times its size in all.
    """
    rng = run.rng("augmented-domains")
    some = source.take(torch.randperm(len(source), generator=rng)[:128]).images.to(run.device)
    pixels, labels = [], []
    for direction in range(DIRECTIONS):
        kernel, colour = torch.randn(3, 3, 3, 3, generator=rng) / 3, torch.rand(2, 3, 1, 1, generator=rng)
        for level in LEVELS:
            share = _share_at(model, some, kernel, colour, level)
            at = torch.randperm(len(source), generator=rng)[: max(1, len(source) // 4)]
            images = colour_filter(source.pixels[at].float() / 255, kernel, colour, share)
            pixels.append((images * 255).round().byte())
            labels.append(source.labels[at])
        run.progress(direction + 1, DIRECTIONS, "augmented domains")
    return Images(torch.cat(pixels), torch.cat(labels))


@torch.no_grad()
def _share_at(model: Classifier, images: Tensor, kernel: Tensor, colour: Tensor, level: float) -> float:
    """The least share, of eighths, at which the MMD reaches ``level``; 1 where none does."""
    model.eval()
    phi = stage(with_stages(model, images)[1], None)
    for share in (k / 8 for k in range(1, 8)):
        if float(mmd(phi, stage(with_stages(model, colour_filter(images, kernel, colour, share))[1], None))) >= level:
            return share
    return 1.0


class Neighbour(nn.Module):
    """A domain next to another: each channel's mean and deviation shifted, through a small learnt convolution."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(1, 3, 1, 1, generator=rng) * 0.3)
        self.shift = nn.Parameter(torch.randn(1, 3, 1, 1, generator=rng) * 0.3)
        self.mix = nn.Parameter(torch.randn(3, 3, 3, 3, generator=rng) * 0.15)

    def forward(self, images: Tensor) -> Tensor:
        """``images`` (N, 3, H, W) in [0, 1] as they look in this domain."""
        mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True) + 1e-3
        plain = (images - mean) / std
        plain = plain + F.conv2d(F.pad(plain, (1, 1, 1, 1), mode="replicate"), self.mix)
        return (plain * std * (1 + self.scale).exp() / math.e + mean + self.shift).clamp(0, 1)


def neighbour_domains(model: Classifier, source: Images, run: Run, count: int = 4, steps: int = 60) -> Images:
    """``count`` domains next to ``source``, each away from it and from one another, with the classes of the source.

    Every domain minimises CE(f(x'), y) − min(1, ‖mean φ(x') − mean φ(x)‖² / var φ) over its shifts: the upper bound on
    mutual information of the paper is stood for by the distance of mean embeddings, the class-conditional
    discrepancy by the model's own cross-entropy.
    """
    model.eval()
    pixels, labels = [], []
    centres: list[Tensor] = []
    with without_gradients(model.parameters()):
        for number in range(count):
            rng = run.rng(f"neighbour {number}")
            domain = Neighbour(rng).to(run.device)
            run.fit(
                domain, partial(_neighbour_loss, model, domain, tuple(centres)), steps, source,
                parameters=list(domain.parameters()), optimiser=partial(torch.optim.Adam, lr=3e-2),
                schedule=lambda _share: 1.0, clip=0.0, name=f"neighbour {number}",
            )  # fmt: skip
            with torch.no_grad():
                at = torch.randperm(len(source), generator=rng)[: max(1, len(source) // 2)]
                images = domain(source.pixels[at].to(run.device).float() / 255)
                centres.append(model.embed(images).mean(0))
            pixels.append((images * 255).round().byte().cpu())
            labels.append(source.labels[at])
    return Images(torch.cat(pixels), torch.cat(labels))


def _neighbour_loss(model: Classifier, domain: Neighbour, centres: tuple[Tensor, ...], batch: Batch) -> Tensor:
    with torch.no_grad():
        home = model.embed(batch.images)
    abroad = model.embed(domain(batch.images))
    spread = home.var(0).mean() + 1e-6
    away = [((abroad.mean(0) - c).square().mean() / spread).clamp(max=1) for c in (home.mean(0), *centres)]
    return F.cross_entropy(model.head(abroad)[:, : model.k], batch.labels) - torch.stack(away).sum()
