"""A linear probe on frozen features: the head learns from embeddings that are computed once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.augment import jitter
from bench.contracts import Augment, Batch, Classifier, Images, Run


@torch.no_grad()
def embeddings(
    model: Classifier, images: Images, augment: Augment, copies: int, rng: torch.Generator, batch: int = 256
) -> Tensor:
    """Embeddings (copies · N, D) of ``images`` as they are, then of ``copies`` − 1 augmented ones, in evaluation mode.

    They are on the model's device.
    """
    model.eval()
    device = next(model.parameters()).device
    out = []
    for i in range(copies):
        for part in images.batches(batch):
            pixels = part.images.to(device)
            out.append(model.embed(augment(pixels, rng) if i else pixels))
    return torch.cat(out)


def train_head(
    model: Classifier, embedded: Tensor, labels: Tensor, steps: int, rate: float, rng: torch.Generator, batch: int = 512
) -> None:
    """Train the head of ``model`` in place, by cross-entropy on embeddings (N, D) with ``labels`` (N,); nothing else.

    AdamW with a weight decay of 0.01 and a cosine rate. Each step draws ``batch`` embeddings.
    """
    head = [model.get_parameter(name) for name in models.head_names(model)]
    optimiser = torch.optim.AdamW(head, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    model.eval()
    for _ in range(steps):
        at = slice(None) if len(embedded) <= batch else torch.randint(len(embedded), (batch,), generator=rng)
        loss = F.cross_entropy(model.head(embedded[at])[:, : model.k], labels[at])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def linear_probe(
    model: Classifier, images: Images, augment: Augment, run: Run, count: int, steps: int, rate: float = 1e-2
) -> None:
    """Train the head of ``model`` in place on about ``count`` embeddings of augmented copies of labelled ``images``.

    Few images get many copies, and each image has one at least: with one image a class, eight copies taught a head that
    was 12 points worse than two hundred did (`digits`, tuning seed 1003, the ViT).
    """
    copies = max(1, count // len(images))
    embedded = embeddings(model, images, augment, copies, run.rng("probe/augment"))
    labels = images.labels.repeat(copies).to(embedded.device)
    with torch.enable_grad():
        train_head(model, embedded, labels, steps, rate, run.rng("probe/batches"))


def probe_pixels(model: Classifier, images: Images, run: Run, steps: int, batch: int, rate: float = 1e-2) -> None:
    """Train the head of a ``model`` of pixels in place on jittered ``images`` with masks; nothing else.

    Embeddings are computed anew each step: those of pixels are too many to keep.
    """

    def loss(part: Batch) -> Tensor:
        return F.cross_entropy(model.logits(part.images), part.labels)

    head = [model.get_parameter(name) for name in models.head_names(model)]
    run.fit(
        model, loss, steps, images,
        rate=rate, batch=batch, parameters=head, train_mode=False, augment=jitter, name="probe",
    )  # fmt: skip
