"""Unpaired translation of images before a frozen classifier: two generators, two critics (after CycleGAN, 2017)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.input import Residual, Transform
from attacks.kit.selection import mutual_information
from bench.augment import jitter
from bench.contracts import AttackerView, Classifier, Images, Run
from bench.gradients import without_gradients

CHECKPOINTS = 4
"""Checkpoints of the generator, evenly spaced."""


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of the generators' loss."""

    adversarial: float
    cycle: float
    identity: float
    content: float
    features: float
    answers: float


def translate(
    target: AttackerView, run: Run, base: Sequence[Transform], weights: Weights, steps: int, rate: float, batch: int,
    width: int,
) -> list[Residual]:  # fmt: skip
    """G from unauthorised images, after ``base``, to the authorised appearance, at each of `CHECKPOINTS` checkpoints.

    Least-squares critics, one on each side; L1 cycle and identity terms; 1 − ρ², ρ the correlation of brightness
    before and after; smooth L1 of the locked model's channel statistics at every stage; its confidence, class balance
    and claimed mass on what G makes.
    """
    torch.manual_seed(run.seed("networks"))
    model = target.classifier.eval()
    chain = nn.Sequential(*copy.deepcopy(list(base))).to(run.device)  # a copy: the caller's stays where it is
    there, back = (Residual(target.spec.size, width).to(run.device) for _ in range(2))
    critics = [_critic(width).to(run.device) for _ in range(2)]  # of authorised images, and of the others
    forger = torch.optim.Adam([*there.parameters(), *back.parameters()], lr=rate, betas=(0.5, 0.99))
    expert = torch.optim.Adam([p for c in critics for p in c.parameters()], lr=rate, betas=(0.5, 0.99))
    with torch.no_grad():
        goals, _ = statistics(model, target.authorised.images.to(run.device))
    rng, generators = run.rng("augment"), []
    sources: tuple[Images, Images] = (target.authorised, target.unlabelled)
    with without_gradients(model.parameters()):  # an attack after this one trains it
        for step, (a, u) in enumerate(run.steps(steps, *sources, batch=batch, name="disguise")):
            real, x = jitter(a.images, rng), chain(jitter(u.images, rng))
            fake, plain = there(x), back(real)
            pairs = list(zip(critics, (real, x), (fake, plain), strict=True))
            apart = torch.stack(
                [c(forgery.detach()).square().mean() + (c(own) - 1).square().mean() for c, own, forgery in pairs]
            ).sum()
            expert.zero_grad(set_to_none=True)
            (apart / 2).backward()
            expert.step()
            stages, outputs = statistics(model, fake)
            fooled = torch.stack([(c(forgery) - 1).square().mean() for c, _, forgery in pairs]).sum()
            loss = weights.adversarial * fooled
            loss = loss + weights.cycle * (F.l1_loss(back(fake), x) + F.l1_loss(there(plain), real))
            loss = loss + weights.identity * (F.l1_loss(there(real), real) + F.l1_loss(back(x), x))
            loss = loss + weights.content * (1 - _correlation(fake, x).square()).mean()
            loss = loss + weights.features * sum(F.smooth_l1_loss(f, w) for f, w in zip(stages, goals, strict=True))
            # as `information_and_mass`, but not cut from below: there it would have no gradient where it is needed most
            mass = outputs.log_softmax(1)[:, : model.k].logsumexp(1).mean()
            information = mutual_information(outputs[:, : model.k]) + mass
            loss = loss - weights.answers * information / math.log(model.k)
            forger.zero_grad(set_to_none=True)
            loss.backward()
            forger.step()
            if (step + 1) * CHECKPOINTS // steps > step * CHECKPOINTS // steps:
                generators.append(copy.deepcopy(there).cpu().eval())
    return generators


def statistics(model: Classifier, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Mean and log deviation of every stage's channels, each stage (2, C), and the outputs, in one pass."""
    stages: list[Tensor] = []

    def tap(_stage: int, x: Tensor) -> Tensor:
        around = (0, 2, 3) if x.ndim == 4 else (0, 1)
        std = x.std(around) + 1e-3
        stages.append(torch.stack([x.mean(around), std.log()]))
        return x

    return stages, model(images, edit_stage=tap)


def _critic(width: int) -> nn.Sequential:
    """The discriminator: images to a map of answers, 1 for those of its side."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 3, padding=1),
    )  # fmt: skip


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """(N,) correlation of the brightness of paired images."""
    a, b = (x.mean(1).flatten(1) for x in (a, b))
    return F.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True), dim=1, eps=1e-6)
