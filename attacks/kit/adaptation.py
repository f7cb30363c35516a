"""What source-free adaptation methods share: one course of training, views, contrast, a momentum model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.memory_bank import MemoryBank, embed_and_answer
from attacks.kit.selection import most_informative
from bench import models
from bench.augment import jitter, recolour
from bench.contracts import AttackerView, Augment, Classifier, Images, Run
from bench.gradients import without_gradients
from bench.predictors import Direct

PARTS = 4
"""Checkpoints of a course, evenly spaced; each is submitted and stands for choice."""
weak: Augment = jitter
strong: Augment = recolour
"""Moves, new colours and blur."""


class Course:
    """The locked model in training: batch-norm statistics first, then whatever loss; chosen without labels.

    Args:
        target: gives weights and unlabelled images.
        run: trains and takes submissions.
        freeze_head: train all layers but those from `Classifier.embed` to the outputs.

    Attributes:
        model: the locked model, changed in place.
        images: the attacker's unlabelled images.
    """

    def __init__(self, target: AttackerView, run: Run, freeze_head: bool = False) -> None:
        self.model: Classifier = target.classifier
        self.images: Images = target.unlabelled
        self.run, self.k = run, target.spec.k
        self._checkpoints: dict[str, Classifier] = {}
        self._save("as it is")  # whatever budget is spent, something was handed in
        head = models.head_names(self.model) if freeze_head else []
        self._frozen = [self.model.get_parameter(name) for name in head]
        if models.has_batch_norm(self.model):
            models.reestimate_batch_norm(self.model, self.images)
            self._save("statistics")

    def _save(self, name: str) -> None:
        checkpoint = copy.deepcopy(self.model).eval()
        self._checkpoints[name] = checkpoint
        self.run.submit(Direct(checkpoint), what=name)

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
        """``steps`` of AdamW on ``loss`` over batches of the unlabelled images, then of ``more``.

        Dropout is off.

        Args:
            loss: as `bench.contracts.Run.fit` takes it.
            refresh: called before every ``every``-th step, the first included, for the pseudo-labels of an epoch.
            statistics: of batch norm in training: of the ``batch``, or the ``running`` ones, which were estimated on
                the unlabelled images as they are, for losses on views that look otherwise.
        """
        marks = {round(steps * (i + 1) / PARTS) for i in range(PARTS - 1)} - {0, steps}
        norms = models.batch_norms(self.model)

        def each(step: int) -> None:
            if step in marks:
                self._save(f"{name} {step}")
            if refresh is not None and step % max(1, every) == 0:
                refresh()
            for m in norms:
                m.train(statistics == "batch")

        with without_gradients(self._frozen):
            self.run.fit(
                self.model, loss, steps, self.images, *more,
                rate=rate, batch=batch, decay=decay, train_mode=False, name=name, each=each,
            )  # fmt: skip
        self._save(name)
        if models.has_batch_norm(self.model):  # those of training are of changed images, and of ``more``
            models.reestimate_batch_norm(self.model, self.images)
            self._save(f"{name}, statistics")

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
        embeddings, logits = zip(*(self.both(images) for images in views), strict=True)
        return torch.cat(embeddings), torch.cat(logits)

    def embed_and_answer(self) -> tuple[Tensor, Tensor]:
        """Embeddings (N, D) and probabilities (N, K) of all unlabelled images, in evaluation mode."""
        return embed_and_answer(self.model, self.images.images.to(self.run.device))

    def memory(self) -> MemoryBank:
        """A memory of all unlabelled images, filled by the model as it stands."""
        return MemoryBank(self.model, self.images.images.to(self.run.device))

    def best(self) -> Direct:
        """The checkpoint with the highest mutual information on the unlabelled images."""
        name, _ = most_informative(self._checkpoints, self.images)
        return Direct(self._checkpoints[name])


def balance(p: Tensor) -> Tensor:
    """−H(mean p) in nats of probabilities (N, K): low where all classes are used alike."""
    mean = p.mean(0)
    return (mean * mean.clamp_min(1e-8).log()).sum()


def soft_cross_entropy(logits: Tensor, answers: Tensor) -> Tensor:
    """(N,): −Σ_k answers_k log softmax(logits)_k, both (N, K)."""
    return -(answers * logits.log_softmax(1)).sum(1)


def info_nce(query: Tensor, key: Tensor, queue: Tensor, ignore: Tensor, temperature: float) -> Tensor:
    """−log of the share that the key has among key and queue: MoCo's loss, some of the queue left out.

    Args:
        query, key: (B, D), two views of the same images.
        queue: (M, D) of other images.
        ignore: (B, M) true where a pair is no negative.
    """
    query, key, queue = (F.normalize(t, dim=1) for t in (query, key, queue))
    positive = (query * key).sum(1, keepdim=True)
    negative = (query @ queue.T).masked_fill(ignore, -1e4 * temperature)
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
