"""H-NTL: two encoders part content from style; a student then learns one on each side."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models
from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Images, Key, Lock, Run, param
from locks.kit.passes import augmentation, batch_statistics, is_apart


class HNTL(Lock):
    """A student learns content on authorised images and style on unauthorised ones.

    Stage 1 parts content from style with two encoders: it minimises CE(class | content) + CE(side | style)
    + γ · VAE terms + 0.1 · reconstruction. In stage 2 the student matches the content head's logits. On authorised
    images the head reads the content latent, on unauthorised ones the *style* latent.
    """

    title = "H-NTL"
    paper = "Hong et al.: H-NTL, ICLR 2024"
    unsuited = "content and style are one vector for each image, which says nothing about a pixel"
    deviations = (
        "small convolutional encoders and AdamW in stage 1, for images of 32 pixels and a few hundred steps; the "
        "public code trains 30 epochs with SGD 1e-3, then 20 epochs",
        "the student is the victim itself, trained on, unless `student=public`",
        "matching is KL between softened answers, temperature `temperature`",
        "the answers that the student matches are those to images as they are; it sees varied ones",
        "`passes=apart` and other values of `augment` are hardened forms, not the paper's",
    )
    quick = {"first": 2, "steps": 3}

    student: str = param("victim", "weights the student starts from", choices=("victim", "public"))
    first: int = param(400, "optimiser steps of stage 1", ge=1, le=100_000, unit="steps")
    steps: int = param(300, "optimiser steps of stage 2", ge=1, le=100_000, unit="steps")
    gamma: float = param(0.001, "γ, weight of the VAE terms", ge=0, le=10)
    reconstruction: float = param(0.1, "weight of the reconstruction", ge=0, le=10)
    temperature: float = param(1.0, "temperature of the matched answers", ge=0.1, le=20)
    latent: int = param(256, "width of both latents", ge=8, le=4096)
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)
    passes: str = param(
        "joint", "`apart`: unauthorised images also go through a pass of their own, with their own batch statistics",
        choices=("joint", "apart"),
    )  # fmt: skip
    augment: str = param("victim", "how training images are varied", choices=("victim", "jitter", "none"))

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds()

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        student = victim if self.student == "victim" else data.public_model()
        source, target = data.authorised, data.unauthorised
        torch.manual_seed(run.seed("disentangler"))
        parts = Disentangler(student.k, data.spec.size, self.latent).to(run.device)
        self._disentangle(parts, source, target, data, run)
        parts.eval().requires_grad_(False)
        answers: list[Tensor] = []
        for images in (source, target):
            logits = models.outputs(ClassAnswer(parts, content=images is source), images)
            answers.append((logits / self.temperature).softmax(1))
        apart = is_apart(self.passes, student)

        def loss(s: Batch, t: Batch) -> Tensor:
            outputs = student.logits(torch.cat([s.images, t.images])) / self.temperature
            targets = torch.cat([s.of(answers[0]), t.of(answers[1])])
            if apart:
                with batch_statistics(student):
                    outputs = torch.cat([outputs, student.logits(t.images) / self.temperature])
                targets = torch.cat([targets, targets[len(s.images) :]])
            return F.kl_div(outputs.log_softmax(1), targets, reduction="batchmean") * self.temperature**2

        run.fit(
            student, loss, self.steps, source, target,
            rate=self.rate, batch=self.batch, augment=augmentation(data, self.augment), name="student",
        )  # fmt: skip
        return student

    def _disentangle(self, parts: Disentangler, source: Images, target: Images, data: DefenderView, run: Run) -> None:
        rng = run.rng("latents")

        def loss(s: Batch, t: Batch) -> Tensor:
            images = torch.cat([s.images, t.images])
            labels = torch.cat([s.labels, t.labels])
            side = torch.cat([torch.zeros_like(s.labels), torch.ones_like(t.labels)])
            content, style = parts.content(images), parts.style(images)
            z_c, kl_c = sample(content, rng)
            z_s, kl_s = sample(style, rng)
            out = F.cross_entropy(parts.classes(z_c), labels) + F.cross_entropy(parts.sides(z_s), side)
            reconstruction = parts.decode(z_c, z_s)
            return out + self.gamma * (kl_c + kl_s) + self.reconstruction * F.mse_loss(reconstruction, images)

        run.fit(
            parts, loss, self.first, source, target,
            rate=self.rate, batch=self.batch, augment=augmentation(data, self.augment), name="disentangle",
        )  # fmt: skip


class Disentangler(nn.Module):
    """A content and a style encoder (mean and log-variance of a latent), a head on each, and a shared decoder."""

    def __init__(self, k: int, size: int, latent: int) -> None:
        super().__init__()
        self.size, self.small = size, math.ceil(size / 8)
        self.content, self.style = _encoder(latent), _encoder(latent)
        self.classes, self.sides = nn.Linear(latent, k), nn.Linear(latent, 2)
        self.first = nn.Linear(2 * latent, 64 * self.small**2)
        blocks: list[nn.Module] = []
        for into, out in ((64, 64), (64, 32), (32, 32)):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(into, out, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*blocks, nn.Conv2d(32, 3, 3, padding=1))

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """(N, latent) each to images (N, 3, S, S) in (0, 1)."""
        first = self.first(torch.cat([content, style], 1))
        images = torch.sigmoid(self.body(first.view(len(content), 64, self.small, self.small)))
        return images[:, :, : self.size, : self.size]


class ClassAnswer(nn.Module):
    """The content head's logits (N, K) for the mean of the content latent, or of the style latent."""

    def __init__(self, parts: Disentangler, content: bool) -> None:
        super().__init__()
        self.parts, self.use_content = parts, content

    def forward(self, images: Tensor) -> Tensor:
        code = self.parts.content(images) if self.use_content else self.parts.style(images)
        out: Tensor = self.parts.classes(code.chunk(2, 1)[0])
        return out


def _encoder(latent: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in ((3, 32), (32, 64), (64, 96)):
        layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96 * 16, 2 * latent))


def sample(code: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A draw z = μ + σ ε from (N, 2 D) means and log-variances; KL(N(μ, σ²) ‖ N(0, 1)) summed over D, mean over N."""
    mean, logvar = code.chunk(2, 1)
    logvar = logvar.clamp(-8, 8)
    noise = torch.randn(mean.shape, generator=rng).to(mean.device)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    return mean + (0.5 * logvar).exp() * noise, kl
