"""Images synthesised from a model alone: a generator trained against it, and neighbour domains of what it makes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Classifier, Images, Run

NOISE = 64


class Generator(nn.Module):
    """Noise (N, NOISE) and labels (N,) to images (N, 3, S, S) in (0, 1); S a multiple of 8."""

    def __init__(self, k: int, size: int, width: int = 48) -> None:
        super().__init__()
        self.small = size // 8
        self.label = nn.Embedding(k, NOISE)
        self.first = nn.Linear(NOISE, 2 * width * self.small**2)
        blocks: list[nn.Module] = []
        for into, out in ((2 * width, 2 * width), (2 * width, width), (width, width)):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.SiLU()]
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        first = self.first(noise * self.label(labels))
        return torch.sigmoid(self.body(first.view(len(noise), -1, self.small, self.small)))


def pseudo_source(model: Classifier, size: int, run: Run, n: int = 1000, steps: int = 400, batch: int = 64) -> Images:
    """``n`` images that the frozen ``model`` is sure of, all classes in equal number, labelled with its own answer.

    The generator minimises CE(f(G(z, y)), y) + 0.1 · (H(mean p) short of its maximum) + the distance of batch-norm
    statistics to the model's running ones, where it has any, − 0.05 · spread of images of one class.
    """
    model = model.eval().requires_grad_(False)
    torch.manual_seed(run.seed("generator weights"))
    generator = Generator(model.k, size).to(run.device)
    optimiser = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.99))
    rng = run.rng("generator")
    found: list[Tensor] = []
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(_statistics(found)) for m in norms]
    for step in range(steps):
        noise, labels = torch.randn(batch, NOISE, generator=rng), torch.randint(model.k, (batch,), generator=rng)
        noise, labels = noise.to(run.device), labels.to(run.device)
        found.clear()
        images = generator(noise, labels)
        logits = model(images)[:, : model.k]
        mean = logits.softmax(1).mean(0)
        loss = F.cross_entropy(logits, labels)
        loss = loss + 0.1 * (math.log(model.k) + (mean * mean.clamp_min(1e-8).log()).sum())
        loss = loss + sum(found, torch.zeros((), device=run.device)) / max(1, len(found))
        other = generator(torch.randn(noise.shape, generator=rng).to(run.device), labels)
        loss = loss - 0.05 * (images - other).abs().mean().clamp(max=0.3)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        run.progress(step + 1, steps, "generator")
    for hook in hooks:
        hook.remove()
    model.requires_grad_(True)
    return _drawn(model, generator.eval(), n, rng, run)


def _statistics(found: list[Tensor]):  # type: ignore[no-untyped-def]
    """A hook that notes how far a batch norm's input is from the statistics it keeps."""

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        scale = norm.running_var + 1e-3
        found.append(((mean - norm.running_mean).square() / scale).mean() + (var / scale - 1).abs().mean())

    return hook


@torch.no_grad()
def _drawn(model: Classifier, generator: Generator, n: int, rng: torch.Generator, run: Run) -> Images:
    labels = torch.arange(n) % model.k
    pixels, answers = [], []
    for part in labels.split(200):
        noise = torch.randn(len(part), NOISE, generator=rng).to(run.device)
        images = generator(noise, part.to(run.device))
        answers.append(model(images)[:, : model.k].argmax(1).cpu())
        pixels.append((images * 255).round().byte().cpu())
    return Images(torch.cat(pixels), torch.cat(answers))


class Neighbour(nn.Module):
    """A domain next to another: each channel's mean and deviation shifted, through a small learnt convolution."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(1, 3, 1, 1, generator=rng) * 0.3)
        self.shift = nn.Parameter(torch.randn(1, 3, 1, 1, generator=rng) * 0.3)
        self.mix = nn.Parameter(torch.randn(3, 3, 3, 3, generator=rng) * 0.15)

    def forward(self, images: Tensor) -> Tensor:
        mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True) + 1e-3
        plain = (images - mean) / std
        plain = plain + F.conv2d(F.pad(plain, (1, 1, 1, 1), mode="replicate"), self.mix)
        return (plain * std * (1 + self.scale).exp() / math.e + mean + self.shift).clamp(0, 1)


def neighbour_domains(model: Classifier, source: Images, run: Run, count: int = 4, steps: int = 60) -> Images:
    """``count`` domains next to ``source``, each away from it and from one another, the classes held.

    Every domain minimises CE(f(x'), y) − min(1, ‖mean φ(x') − mean φ(x)‖² / var φ) over its shifts: the upper bound on
    mutual information of the paper is stood for by the distance of mean embeddings, the class-conditional
    discrepancy by the model's own cross-entropy.
    """
    model = model.eval().requires_grad_(False)
    assert source.labels is not None
    pixels, labels = [], []
    centres: list[Tensor] = []
    for number in range(count):
        rng = run.rng(f"neighbour {number}")
        domain = Neighbour(rng).to(run.device)
        optimiser = torch.optim.Adam(domain.parameters(), lr=3e-2)
        for (batch,) in run.steps(steps, source, batch=64, name=f"neighbour {number}"):
            assert batch.labels is not None
            with torch.no_grad():
                home = model.embed(batch.images)
            moved = model.embed(domain(batch.images))
            spread = home.var(0).mean() + 1e-6
            away = [((moved.mean(0) - c).square().mean() / spread).clamp(max=1) for c in (home.mean(0), *centres)]
            loss = F.cross_entropy(model.head(moved)[:, : model.k], batch.labels) - torch.stack(away).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            at = torch.randperm(len(source), generator=rng)[: max(1, len(source) // 2)]
            images = domain(source.pixels[at].to(run.device).float() / 255)
            centres.append(model.embed(images).mean(0))
        pixels.append((images * 255).round().byte().cpu())
        labels.append(source.labels[at])
    model.requires_grad_(True)
    return Images(torch.cat(pixels), torch.cat(labels))
