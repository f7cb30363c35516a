"""Images that stand for a lost training set: synthesised from a model alone."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Classifier, Images, Run
from bench.gradients import without_gradients
from bench.synthesis import NOISE, ClassGenerator, NormStatistics


def pseudo_source(model: Classifier, size: int, run: Run, n: int = 1000, steps: int = 400, batch: int = 64) -> Images:
    """``n`` images that the frozen ``model`` is sure of, all classes in equal number, labelled with its own answer.

    The generator minimises CE(f(G(z, y)), y) + 0.1 · (H(mean p) short of its maximum) + the distance of batch-norm
    statistics to the model's running ones, where it has any, − 0.05 · spread of images of one class.
    """
    model.eval()
    torch.manual_seed(run.seed("generator weights"))
    generator = ClassGenerator(model.k, size).to(run.device)
    rng = run.rng("generator")

    def loss() -> Tensor:
        noise, labels = torch.randn(batch, NOISE, generator=rng), torch.randint(model.k, (batch,), generator=rng)
        noise, labels = noise.to(run.device), labels.to(run.device)
        statistics.clear()
        images = generator(noise, labels)
        logits = model.logits(images)
        mean = logits.softmax(1).mean(0)
        out = F.cross_entropy(logits, labels)
        out = out + 0.1 * (math.log(model.k) + (mean * mean.clamp_min(1e-8).log()).sum())
        away = sum(statistics.distances, torch.zeros((), device=run.device))
        out = out + away / max(1, len(statistics.distances))
        other = generator(torch.randn(noise.shape, generator=rng).to(run.device), labels)
        return out - 0.05 * (images - other).abs().mean().clamp(max=0.3)

    with without_gradients(model.parameters()), NormStatistics(model) as statistics:
        run.fit(
            generator, loss, steps, parameters=list(generator.parameters()), clip=0.0, name="generator",
            optimiser=partial(torch.optim.Adam, lr=2e-3, betas=(0.5, 0.99)), schedule=lambda _share: 1.0,
        )  # fmt: skip
    return _sample(model, generator, n, rng, run)


@torch.no_grad()
def _sample(model: Classifier, generator: ClassGenerator, n: int, rng: torch.Generator, run: Run) -> Images:
    labels = torch.arange(n) % model.k
    pixels, answers = [], []
    for part in labels.split(200):
        noise = torch.randn(len(part), NOISE, generator=rng).to(run.device)
        images = generator(noise, part.to(run.device))
        answers.append(model.logits(images).argmax(1).cpu())
        pixels.append((images * 255).round().byte().cpu())
    return Images(torch.cat(pixels), torch.cat(answers))
