"""What source-free adaptation methods share: one training course, banks of answers, neighbours, contrast."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.selection import most_informative
from bench import models
from bench.augment import jitter, recolour
from bench.contracts import AttackerView, Batch, Classifier, Images, Run
from bench.predictors import Direct

PARTS = 4
"""Checkpoints that a course keeps, evenly spaced; each is submitted and stands for choice."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
weak: Augment = jitter
strong: Augment = recolour  # moves, new colours and blur


class Course:
    """The locked model on its way: batch-norm statistics first, then whatever loss; chosen without labels.

    Args:
        target: gives weights and un-labelled images.
        run: trains and takes submissions.
        freeze_head: keep the layers from `Classifier.embed` to the outputs as they are.

    Attributes:
        model: the locked model, changed in place.
        images: the attacker's un-labelled images.
    """

    def __init__(self, target: AttackerView, run: Run, freeze_head: bool = False) -> None:
        self.model: Classifier = target.classifier
        self.images: Images = target.unlabelled
        self.run, self.k = run, target.spec.k
        self._kept: dict[str, Classifier] = {}
        self._keep("as it is")  # whatever budget is spent, something was handed in
        self._frozen: list[nn.Parameter] = []
        if freeze_head:
            self._frozen = [self.model.get_parameter(name) for name in models.head_names(self.model)]
        if models.has_batch_norm(self.model):
            models.reestimate_batch_norm(self.model, self.images.images.to(run.device))
            self._keep("statistics")

    def _keep(self, name: str) -> None:
        copied = copy.deepcopy(self.model).eval()
        self._kept[name] = copied
        self.run.submit(Direct(copied), what=name)

    def fit(
        self,
        loss: Callable[..., Tensor],
        steps: int,
        *more: Images,
        rate: float,
        batch: int | list[int] = 64,
        refresh: Callable[[], None] | None = None,
        every: int = 1,
        decay: float = 1e-3,
        statistics: str = "batch",
        name: str = "adapt",
    ) -> None:
        """``steps`` of AdamW on ``loss`` over batches of the un-labelled images, then of ``more``.

        Dropout is off. ``refresh`` is called before every ``every``-th step, the first included: pseudo-labels of an
        epoch.

        Args:
            statistics: of batch norm in training: of the ``batch``, or ``kept`` as they were found on the un-labelled
                images as they are, for losses on views that look otherwise.
        """
        done = 0
        marks = {round(steps * (i + 1) / PARTS) for i in range(PARTS - 1)} - {0, steps}

        def counted(*batches: Batch) -> Tensor:
            nonlocal done
            if done in marks:
                self._keep(f"{name} {done}")
            if refresh is not None and done % max(1, every) == 0:
                refresh()
            for m in self.model.modules():
                if isinstance(m, nn.modules.batchnorm._BatchNorm):
                    m.train(statistics == "batch")
            done += 1
            return loss(*batches)

        for p in self._frozen:
            p.requires_grad_(False)
        self.run.fit(
            self.model, counted, steps, self.images, *more,
            rate=rate, batch=batch, decay=decay, train_mode=False, name=name,
        )  # fmt: skip
        for p in self._frozen:
            p.requires_grad_(True)
        self._keep(name)
        if models.has_batch_norm(self.model):  # those of training are of changed images, and of ``more``
            models.reestimate_batch_norm(self.model, self.images.images.to(self.run.device))
            self._keep(f"{name}, statistics")

    def real(self, images: Tensor) -> Tensor:
        """(N, K) logits of the real classes, with gradients."""
        return self.model(images)[:, : self.k]

    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (N, D) and the (N, K) logits of the real classes, from one pass."""
        embedding = self.model.embed(images)
        return embedding, self.model.head(embedding)[:, : self.k]

    def apart(self, *views: Tensor) -> tuple[Tensor, Tensor]:
        """`both` of each of ``views`` by itself, joined: batch norm answers unlike images by their own statistics.

        In one pass with views in other colours, the images as they are would be answered by statistics that they
        are not judged by in the end. Views of a single image go in one pass: batch norm refuses them alone.
        """
        views = views if min(len(images) for images in views) > 1 else (torch.cat(views),)
        answered = [self.both(images) for images in views]
        embeddings, logits = zip(*answered, strict=True)
        return torch.cat(embeddings), torch.cat(logits)

    def bank(self, model: Classifier | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings (N, D) and probabilities (N, K) of all un-labelled images, in evaluation mode."""
        return bank(model or self.model, self.images.images.to(self.run.device), self.k)

    def chosen(self) -> Direct:
        """The kept model with the highest mutual information on the un-labelled images."""
        name, _ = most_informative(self._kept, self.images)
        return Direct(self._kept[name])


@torch.no_grad()
def bank(model: Classifier, images: Tensor, k: int, batch: int = 256) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) and probabilities (N, K) over the real classes; the model's mode is restored."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    embeddings = torch.cat([model.embed(part) for part in images.split(batch)])
    probabilities = model.head(embeddings)[:, :k].softmax(1)
    for m, training in modes:
        m.training = training
    return embeddings, probabilities


def balance(p: Tensor) -> Tensor:
    """−H(mean p) in nats of probabilities (N, K): low where all classes are used alike."""
    mean = p.mean(0)
    return (mean * mean.clamp_min(1e-8).log()).sum()


def soft_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """(N,): −Σ_k wanted_k log softmax(logits)_k."""
    return -(wanted * logits.log_softmax(1)).sum(1)


def nearest(of: Tensor, among: Tensor, n: int, but: Tensor | None = None) -> Tensor:
    """(B, n) indices of the rows of ``among`` (N, D) with the highest cosine to each row of ``of`` (B, D).

    Args:
        but: (B,) the row of ``among`` that is the image itself and does not count.
    """
    cosine = F.normalize(of, dim=1) @ F.normalize(among, dim=1).T
    if but is not None:
        cosine = cosine.scatter(1, but[:, None], -2.0)
    return cosine.topk(min(n, len(among) - (but is not None)), dim=1).indices


def info_nce(query: Tensor, key: Tensor, queue: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """−log of the share that the key has among key and queue: MoCo's loss, some of the queue left out.

    Args:
        query, key: (B, D), two views of the same images.
        queue: (M, D) of other images.
        excluded: (B, M) true where a pair is no negative.
    """
    query, key, queue = (F.normalize(t, dim=1) for t in (query, key, queue))
    positive = (query * key).sum(1, keepdim=True)
    negative = (query @ queue.T).masked_fill(excluded, -1e4 * temperature)
    logits = torch.cat([positive, negative], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.int64, device=query.device))


class Momentum:
    """A slow copy of a model: θ' ← m θ' + (1 − m) θ; batch-norm statistics follow the model's own."""

    def __init__(self, model: Classifier, m: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.m = m

    @torch.no_grad()
    def follow(self, model: Classifier) -> None:
        """One step towards ``model``."""
        own: dict[str, Any] = dict(self.model.named_parameters())
        for name, p in model.named_parameters():
            own[name].lerp_(p, 1 - self.m)
        buffers = dict(self.model.named_buffers())
        for name, b in model.named_buffers():
            buffers[name].copy_(b)
