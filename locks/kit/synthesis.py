"""Un-authorised images made from authorised ones, for locks that are given none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Classifier, Images, Run
from locks.kit.family import mmd, stage, with_stages

LEVELS = (0.1, 0.2, 0.3, 0.4)
"""MMD to the source at which a generated domain is taken."""
DIRECTIONS = 4


def augmented_domains(model: Classifier, source: Images, run: Run) -> Images:
    """``source`` moved away from itself in several directions, its labels kept.

    A direction is a random 3 × 3 convolution with a random colour map; a copy of the source is blended with it just
    as far as its MMD to the source, on the model's middle activation, reaches each level (or as far as it goes).

    Returns:
        one copy of ``source`` for each direction and level, at most 4 times its size in all, shuffled.
    """
    rng = run.rng("augmented-domains")
    some = source.take(torch.randperm(len(source), generator=rng)[:128]).images.to(run.device)
    made, labels = [], []
    assert source.labels is not None
    for direction in range(DIRECTIONS):
        kernel, colour = torch.randn(3, 3, 3, 3, generator=rng) / 3, torch.rand(2, 3, 1, 1, generator=rng)
        for level in LEVELS:
            share = _share_at(model, some, kernel, colour, level)
            at = torch.randperm(len(source), generator=rng)[: max(1, len(source) // 4)]
            moved = move(source.pixels[at].float() / 255, kernel, colour, share)
            made.append((moved * 255).round().byte())
            labels.append(source.labels[at])
        run.progress(direction + 1, DIRECTIONS, "generated domains")
    return Images(torch.cat(made), torch.cat(labels))


def move(images: Tensor, kernel: Tensor, colour: Tensor, share: float) -> Tensor:
    """(1 − share) x + share · recoloured filter response of x, clipped; (N, 3, H, W) in [0, 1]."""
    response = torch.sigmoid(
        3 * F.conv2d(F.pad(images - 0.5, (1, 1, 1, 1), mode="replicate"), kernel.to(images.device))
    )
    low, high = colour.to(images.device)
    return ((1 - share) * images + share * (low + (high - low) * response)).clamp(0, 1)


@torch.no_grad()
def _share_at(model: Classifier, images: Tensor, kernel: Tensor, colour: Tensor, level: float) -> float:
    """The least share, of eighths, at which the MMD reaches ``level``; 1 where none does."""
    model.eval()
    phi = stage(with_stages(model, images)[1], None)
    for share in (k / 8 for k in range(1, 8)):
        if float(mmd(phi, stage(with_stages(model, move(images, kernel, colour, share))[1], None))) >= level:
            return share
    return 1.0
